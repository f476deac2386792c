// Image files, named by their SHA-256 under <state>/images: <fingerprint>, <fingerprint>.rootfs for the second file of a
// split image, and <fingerprint>.yaml for what its owner notes of it.
//
// Receiving:  Upload u = store.newUpload(); u.write(…); [u.nextPart(); u.write(…);]  Image i = store.commit(std::move(u), options);
// Fetching:   Upload u = store.resume(fingerprint); … as before, from where it stands: what was received outlives a crash.
// From disk:  Image i = store.importFiles({"a.tar.xz"} or {"meta.tar.xz","rootfs.squashfs"}, options);
// From a tree Image i = store.pack(directory, options);            // a built template
// From others Image i = store.take(metadata, [&](const Fd &file) { … });  // a published instance
// Into pools: pool.addImage(i.fingerprint, [&](const Fd &to) { return store.unpack(i.fingerprint, to, options); });
// All calls may be made from any thread.
#pragma once

#include "base/fd.h"
#include "base/paths.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/types.h"
#include "images/fingerprint.h"
#include "images/metadata.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace lxmgr::images
{

struct Image {
    std::string fingerprint;
    Bytes size;          ///< Of all its files.
    std::string type = "container";
    bool split = false;
    Metadata metadata;   ///< Its own, or guessed from os-release.
};

struct ImportOptions {
    std::string expectedFingerprint; ///< Compared before anything is parsed; empty: whatever it is.
    Progress *progress = nullptr;    ///< nullptr: nobody listens.
};

/// What unpacking an archive may cost before it is refused (security-model I5).
struct UnpackLimits {
    Bytes total{64ULL << 30};
    Bytes room{UINT64_MAX}; ///< What may be taken of what is free: NoSpace beyond.
    Bytes perFile{64ULL << 30};
    std::uint64_t entries = 4'000'000;
    std::uint32_t depth = 1024;
    std::uint32_t ratio = 200;            ///< Expanded to packed, beyond the first GiB.
};

/// Compression of files we make; all are tar archives, but of the last, a file system, which only images may be.
enum class Compression { None, Gzip, Zstd, Xz, Bzip2, Lzma, Squashfs };
Result<Compression> parseCompression(const std::string &name);

/// One file of an image as it goes out. `part` is "metadata" or "rootfs" in a split image, else empty.
struct ExportFile {
    std::string part;
    std::string filename; ///< "<fingerprint>.tar.zst", "<fingerprint>.squashfs", "meta-<fingerprint>.tar.xz".
    Fd file;
    Bytes size;
};

/// A file being received: hashed while it is written, gone unless it is committed (or kept to be resumed).
class Upload
{
public:
    Upload(Upload &&) noexcept;
    Upload &operator=(Upload &&) noexcept;
    ~Upload();
    /// NoSpace says how much is free.
    Status write(std::span<const std::byte> bytes);
    /// What follows is the second file of a split image.
    Status nextPart();
    Bytes received() const;
    std::size_t part() const;  ///< Which file is written, from 0.
    Bytes receivedOfPart() const;
    /// Of one that can be resumed: from nothing / what is received goes with this object.
    Status startAgain();
    void discard();
    /// Of one that can be resumed: a text of the caller's that is kept with what is received; "": there is none.
    Status setNote(std::string_view text);
    std::string note() const;
    struct State;
    explicit Upload(std::unique_ptr<State> state);
    std::unique_ptr<State> take() &&;

private:
    std::unique_ptr<State> m_state;
};

class ImageStore
{
public:
    /// Makes <state>/images (0700) and drops what a crash left in it.
    static Result<ImageStore> open(const Paths &paths);
    ImageStore(ImageStore &&) noexcept;
    ImageStore &operator=(ImageStore &&) noexcept;
    ~ImageStore();

    /// `expected` bytes, if known, are checked against the free space first.
    Result<Upload> newUpload(std::optional<Bytes> expected = {});
    /// One that goes on with what an earlier one for the same fingerprint has left, and leaves what it has when it goes. The caller has
    /// no two of a fingerprint at a time. commit() takes it all away unless the whole is what it should be.
    Result<Upload> resume(const std::string &fingerprint, std::optional<Bytes> expected = {});
    /// Takes away what was left of downloads that nobody has gone on with since `before` (Unix seconds).
    Status dropPartial(std::int64_t before);
    /// Looks into what was received (in the sandbox), makes it durable and gives it its name. A file that is there already is kept
    /// and is no error: whether an image row exists is the store room's to say. Invalid: not an image, with what it is.
    Result<Image> commit(Upload upload, const ImportOptions &options = {});
    /// Copies one file, or metadata and rootfs, from this machine and commits them.
    Result<Image> importFiles(const std::vector<std::string> &files, const ImportOptions &options = {});

    /// Makes the image file of a finished tree {metadata.yaml, templates/, rootfs/} whose files have 0-based owners.
    struct PackOptions {
        Compression compression = Compression::Zstd;
        Progress *progress = nullptr;
    };
    Result<Image> pack(const std::string &directory, const PackOptions &options);
    Result<Image> pack(const std::string &directory) { return pack(directory, PackOptions{}); }
    /// Takes what `write` puts into the empty file it is given, and gives the SHA-256 of; the caller knows its metadata.
    using Write = std::function<Result<std::string>(const Fd &file)>;
    Result<Image> take(Metadata metadata, const Write &write);

    bool has(const std::string &fingerprint) const;
    /// Fingerprints of all image files.
    Result<std::vector<std::string>> list() const;
    /// Puts metadata.yaml, templates/ and rootfs/ into the empty folder `target`, in the sandbox, with 0-based owners.
    Status unpack(const std::string &fingerprint, const Fd &target, const UnpackLimits &limits = {},
                  Progress &progress = Progress::none());
    /// Looks into the files of an image (in the sandbox). NotFound.
    Result<Image> look(const std::string &fingerprint, Progress &progress = Progress::none()) const;
    /// A text of the caller's that lies beside the image's files and goes with them. NotFound: there is none.
    Status setNote(const std::string &fingerprint, std::string_view text);
    Result<std::string> note(const std::string &fingerprint) const;
    /// The files, opened. NotFound.
    Result<std::vector<ExportFile>> exportFiles(const std::string &fingerprint) const;
    /// Missing is no error.
    Status remove(const std::string &fingerprint);

private:
    struct State;
    explicit ImageStore(std::unique_ptr<State> state);
    std::unique_ptr<State> m_state;
};

} // namespace lxmgr::images
