#include "images/store.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "base/undo.h"
#include "images/archive.h"
#include "images/pack.h"
#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

constexpr const char *kTemporary = ".new-"; ///< Start of the name of a file that has not got its own yet.
constexpr const char *kPartial = ".part-";   ///< The same of one that is gone on with later; its fingerprint follows.
constexpr std::int64_t kKeepPartial = 7 * 86400; ///< Seconds.
constexpr const char *kRootfs = ".rootfs";  ///< End of the name of a split image's second file.
constexpr const char *kNote = ".yaml";
constexpr const char *kPartialNote = ".note";
constexpr std::size_t kChunk = 1 << 20;

struct CompressionName {
    std::string_view name;
    Compression compression;
};
constexpr CompressionName kCompressions[] = {
    {"none", Compression::None}, {"gzip", Compression::Gzip},   {"zstd", Compression::Zstd},
    {"xz", Compression::Xz},     {"bzip2", Compression::Bzip2}, {"lzma", Compression::Lzma}, {"squashfs", Compression::Squashfs},
};

Result<Bytes> available(const Fd &folder)
{
    struct statvfs info{};
    TRY(sys::call("fstatvfs", {}, [&] { return ::fstatvfs(folder.get(), &info); }));
    if (info.f_blocks == 0)
        return Bytes{UINT64_MAX}; // it does not count (ramfs)
    return Bytes{static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize};
}

/// A full disk's error with what there is: "…: No space left on device (12MiB free at /x)".
Error withFreeSpace(Error error, const Fd &folder, const std::string &path)
{
    const auto free = available(folder);
    if (error.code != Code::NoSpace || !free)
        return error;
    return std::move(error).hint(humanBytes(*free) + " free at " + path);
}

Status needSpace(const Fd &folder, Bytes bytes, const std::string &what, const std::string &path)
{
    const Bytes free = TRY(available(folder));
    if (free.count >= bytes.count)
        return {};
    return Error(Code::NoSpace, what + " needs " + humanBytes(bytes) + ", " + humanBytes(Bytes{bytes.count - free.count}) +
                                    " more than the " + humanBytes(free) + " free at " + path);
}

Result<Bytes> sizeOf(const Fd &file) { return Bytes{static_cast<std::uint64_t>(TRY(sys::fstat(file)).st_size)}; }

constexpr std::size_t kWriteFrom = 8 << 20; ///< Bytes received between two wishes that the disk begins to write.

std::string temporaryName()
{
    unsigned char bytes[8] = {};
    // Eight bytes come at once and never fail once the pool is up (getrandom(2)); the names need only differ.
    [[maybe_unused]] const ssize_t got = ::getrandom(bytes, sizeof bytes, 0);
    return kTemporary + toHex(bytes);
}

/// A file in the store's folder that goes away with this object unless it gets a name.
class NewFile
{
public:
    static Result<NewFile> create(const Fd &folder)
    {
        NewFile file;
        file.m_folder = TRY(sys::openat(folder, ".", O_RDONLY | O_DIRECTORY));
        file.m_name = temporaryName();
        file.m_fd = TRY(sys::openat(folder, file.m_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
        return file;
    }
    /// What is there under that name, or nothing yet; it stays there.
    static Result<NewFile> resume(const Fd &folder, const std::string &name)
    {
        NewFile file;
        file.m_folder = TRY(sys::openat(folder, ".", O_RDONLY | O_DIRECTORY));
        file.m_fd = TRY(sys::openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
        file.m_name = name;
        file.m_keep = true;
        return file;
    }
    void setKept(bool keep) { m_keep = keep; }
    NewFile(NewFile &&other) noexcept
        : m_folder(std::move(other.m_folder)), m_name(std::exchange(other.m_name, {})), m_fd(std::move(other.m_fd)), m_keep(other.m_keep)
    {
    }
    NewFile &operator=(NewFile &&) = delete;
    ~NewFile()
    {
        if (!m_name.empty() && !m_keep)
            (void)sys::unlinkat(m_folder, m_name); // the next open() of the store finds what stays
    }
    const Fd &fd() const { return m_fd; }
    /// On disk, then under its name; one that is there already stays as it is: the name says it is the same.
    Status publish(const std::string &name)
    {
        TRY(sys::fsync(m_fd));
        const Status moved = sys::renameat2(m_folder, m_name, m_folder, name, RENAME_NOREPLACE);
        if (moved)
            m_name.clear();
        return moved || moved.error().errnum == EEXIST ? Status() : moved;
    }

private:
    NewFile() = default;
    Fd m_folder;
    std::string m_name;
    Fd m_fd;
    bool m_keep = false;
};

} // namespace

Result<Compression> parseCompression(const std::string &name)
{
    std::string known;
    for (const CompressionName &row : kCompressions) {
        if (row.name == name)
            return row.compression;
        known.append(known.empty() ? "" : ", ").append(row.name);
    }
    return Error(Code::Invalid, "compression " + quoted(name) + " is not known (there are: " + known + ")");
}

struct Upload::State {
    std::string path; ///< Of the store, for errors.
    Fd folder;
    std::vector<NewFile> parts;
    Sha256 hash;
    Bytes received;
    Bytes ofPart;        ///< Of that, the file that is written.
    std::string partial; ///< Name of the first file of one that can be resumed.
    std::size_t unwritten = 0; ///< Since the disk was last asked to begin.
};

Upload::Upload(std::unique_ptr<State> state) : m_state(std::move(state)) {}
Upload::Upload(Upload &&) noexcept = default;
Upload &Upload::operator=(Upload &&) noexcept = default;
Upload::~Upload() = default;
Bytes Upload::received() const { return m_state->received; }
std::size_t Upload::part() const { return m_state->parts.size() - 1; }
Bytes Upload::receivedOfPart() const { return m_state->ofPart; }
std::unique_ptr<Upload::State> Upload::take() && { return std::move(m_state); }

Status Upload::write(std::span<const std::byte> bytes)
{
    const Status written = files::writeAll(m_state->parts.back().fd(), {reinterpret_cast<const char *>(bytes.data()), bytes.size()});
    if (!written)
        return withFreeSpace(written.error(), m_state->folder, m_state->path).in("store image");
    m_state->hash.update(bytes);
    m_state->received.count += bytes.size();
    m_state->ofPart.count += bytes.size();
    m_state->unwritten += bytes.size();
    if (m_state->unwritten >= kWriteFrom) {
        // A wish: the disk begins now with what fsync waits for at the end.
        (void)::sync_file_range(m_state->parts.back().fd().get(), 0, 0, SYNC_FILE_RANGE_WRITE);
        m_state->unwritten = 0;
    }
    return {};
}

Status Upload::nextPart()
{
    if (m_state->parts.size() == 2)
        return Error(Code::Invalid, "an image has at most two files: metadata and rootfs");
    m_state->parts.push_back(m_state->partial.empty() ? TRY(NewFile::create(m_state->folder))
                                                      : TRY(NewFile::resume(m_state->folder, m_state->partial + kRootfs)));
    m_state->ofPart = {};
    return {};
}

Status Upload::startAgain()
{
    discard();
    m_state->parts.clear();
    m_state->hash = Sha256();
    m_state->received = m_state->ofPart = {};
    m_state->parts.push_back(TRY(NewFile::resume(m_state->folder, m_state->partial)));
    return {};
}

void Upload::discard()
{
    for (NewFile &part : m_state->parts)
        part.setKept(false);
    if (!m_state->partial.empty())
        (void)sys::unlinkat(m_state->folder, m_state->partial + kPartialNote); // mostly there is none
}

Status Upload::setNote(std::string_view text) { return files::replace(m_state->folder, m_state->partial + kPartialNote, text); }

std::string Upload::note() const
{
    return files::read(m_state->folder, m_state->partial + kPartialNote, 1 << 16).value_or(std::string());
}

struct ImageStore::State {
    std::string path;
    std::string helper;
    Fd folder;

    Result<Fd> open(const std::string &name) const
    {
        auto file = sys::openat(folder, name, O_RDONLY | O_NOFOLLOW);
        if (!file && file.error().errnum == ENOENT)
            return Error(Code::NotFound, "there is no image file " + quoted(name) + " in " + path);
        return file;
    }
    /// The file of an image, and the second one of a split image.
    struct Files {
        Fd first;
        std::optional<Fd> second;
    };
    Result<Files> openBoth(const std::string &fingerprint) const
    {
        if (!isFingerprint(fingerprint))
            return Error(Code::Invalid, quoted(fingerprint) + " is not an image fingerprint (64 hex digits)");
        Files files{TRY(open(fingerprint)), {}};
        auto second = open(fingerprint + kRootfs);
        if (second)
            files.second = std::move(*second);
        else if (second.error().code != Code::NotFound)
            return second.error();
        return files;
    }
};

ImageStore::ImageStore(std::unique_ptr<State> state) : m_state(std::move(state)) {}
ImageStore::ImageStore(ImageStore &&) noexcept = default;
ImageStore &ImageStore::operator=(ImageStore &&) noexcept = default;
ImageStore::~ImageStore() = default;

Result<ImageStore> ImageStore::open(const Paths &paths)
{
    auto state = std::make_unique<State>();
    state->path = paths.stateDir + "/images";
    state->helper = paths.helper;
    const Fd parent = TRY(path::openFolder(paths.stateDir));
    if (Status made = sys::mkdirat(parent, "images", 0700); !made && made.error().errnum != EEXIST)
        return std::move(made.error()).in("image store");
    state->folder = TRY_IN("image store", path::open(parent, "images", O_RDONLY | O_DIRECTORY, path::Scope::Beneath));
    TRY(sys::fchmod(state->folder, 0700));
    for (const std::string &name : TRY(path::list(state->folder)))
        if (name.starts_with(kTemporary))
            TRY(sys::unlinkat(state->folder, name));
    ImageStore store(std::move(state));
    TRY(store.dropPartial(std::time(nullptr) - kKeepPartial));
    return store;
}

Status ImageStore::dropPartial(std::int64_t before)
{
    for (const std::string &name : TRY(path::list(m_state->folder))) {
        if (!name.starts_with(kPartial))
            continue;
        const auto info = sys::fstatat(m_state->folder, name);
        if (info && info->st_mtime < before)
            TRY(sys::unlinkat(m_state->folder, name));
    }
    return {};
}

Result<Upload> ImageStore::resume(const std::string &fingerprint, std::optional<Bytes> expected)
{
    if (!isFingerprint(fingerprint))
        return Error(Code::Invalid, quoted(fingerprint) + " is not an image fingerprint (64 hex digits)");
    auto upload = std::make_unique<Upload::State>();
    upload->path = m_state->path;
    upload->folder = TRY(sys::openat(m_state->folder, ".", O_RDONLY | O_DIRECTORY));
    upload->partial = kPartial + fingerprint;
    const bool second = sys::fstatat(m_state->folder, upload->partial + kRootfs).has_value();
    for (const std::string &name : {upload->partial, upload->partial + kRootfs}) {
        if (name != upload->partial && !second)
            break;
        auto part = NewFile::resume(m_state->folder, name);
        if (!part)
            return withFreeSpace(std::move(part.error()), m_state->folder, m_state->path).in("store image");
        upload->ofPart = TRY(sizeOf(part->fd()));
        upload->received.count += upload->ofPart.count;
        TRY(hashFile(part->fd(), upload->hash));
        TRY(sys::call("lseek", name, [&] { return ::lseek(part->fd().get(), 0, SEEK_END); }));
        upload->parts.push_back(std::move(*part));
    }
    if (expected && expected->count > upload->received.count)
        TRY(needSpace(m_state->folder, Bytes{expected->count - upload->received.count}, "the image", m_state->path));
    return Upload(std::move(upload));
}

Result<Upload> ImageStore::newUpload(std::optional<Bytes> expected)
{
    if (expected)
        TRY(needSpace(m_state->folder, *expected, "the image", m_state->path));
    auto upload = std::make_unique<Upload::State>();
    upload->path = m_state->path;
    upload->folder = TRY(sys::openat(m_state->folder, ".", O_RDONLY | O_DIRECTORY));
    auto first = NewFile::create(m_state->folder);
    if (!first)
        return withFreeSpace(std::move(first.error()), m_state->folder, m_state->path).in("store image");
    upload->parts.push_back(std::move(*first));
    return Upload(std::move(upload));
}

Result<Image> ImageStore::commit(Upload received, const ImportOptions &options)
{
    received.discard();
    const auto upload = std::move(received).take();
    Progress &progress = options.progress ? *options.progress : Progress::none();
    Image image;
    image.fingerprint = upload->hash.finish();
    image.size = upload->received;
    image.split = upload->parts.size() == 2;
    if (!options.expectedFingerprint.empty() && options.expectedFingerprint != image.fingerprint)
        return Error(Code::Corrupt, "the image was to have fingerprint " + escaped(options.expectedFingerprint) + " but has " + image.fingerprint +
                                        ": it was changed on the way or named wrongly");
    const UnpackJob job{m_state->helper, upload->parts.front().fd(), image.split ? &upload->parts.back().fd() : nullptr, nullptr, {}};
    const Unpacked seen = TRY_IN("image", unpackArchive(job, progress));
    image.metadata = TRY_IN("image", parseMetadata(seen.metadata));
    TRY(failpoint("image.commit.checked"));
    // The main file last: it is the one that says the image is there.
    Status published = image.split ? upload->parts.back().publish(image.fingerprint + kRootfs) : Status();
    if (published)
        published = upload->parts.front().publish(image.fingerprint);
    if (published)
        published = sys::fsync(m_state->folder);
    if (!published)
        return withFreeSpace(std::move(published.error()), m_state->folder, m_state->path).in("store image");
    return image;
}

Result<Image> ImageStore::importFiles(const std::vector<std::string> &names, const ImportOptions &options)
{
    if (names.empty() || names.size() > 2)
        return Error(Code::Invalid, "an image is one file, or a metadata and a rootfs file");
    Progress &progress = options.progress ? *options.progress : Progress::none();
    std::vector<Fd> sources;
    Bytes size;
    for (const std::string &name : names) {
        sources.push_back(TRY_IN("import", sys::open(name, O_RDONLY | O_NONBLOCK)));
        const struct stat info = TRY(sys::fstat(sources.back()));
        if (!S_ISREG(info.st_mode))
            return Error(Code::Invalid, quoted(name) + " is not a regular file");
        size.count += static_cast<std::uint64_t>(info.st_size);
    }
    Upload upload = TRY(newUpload(size));
    std::vector<std::byte> buffer(kChunk);
    for (const Fd &source : sources) {
        if (&source != &sources.front())
            TRY(upload.nextPart());
        while (const auto got = TRY(sys::call("read", {}, [&] { return ::read(source.get(), buffer.data(), buffer.size()); }))) {
            if (progress.cancelled())
                return Error(Code::Cancelled, "the import was cancelled");
            TRY(upload.write(std::span(buffer.data(), static_cast<std::size_t>(got))));
        }
    }
    return commit(std::move(upload), options);
}

Result<Image> ImageStore::pack(const std::string &directory, const PackOptions &options)
{
    Progress &progress = options.progress ? *options.progress : Progress::none();
    const Fd tree = TRY(path::openFolder(directory));
    return take(TRY(parseMetadata(TRY(files::read(tree, "metadata.yaml", 1 << 20)))),
                [&](const Fd &file) { return packTree(tree, file, options.compression, progress); });
}

Result<Image> ImageStore::take(Metadata metadata, const Write &write)
{
    Image image;
    image.metadata = std::move(metadata);
    NewFile file = TRY(NewFile::create(m_state->folder));
    auto fingerprint = write(file.fd());
    if (!fingerprint)
        return withFreeSpace(std::move(fingerprint.error()), m_state->folder, m_state->path).in("pack image");
    image.fingerprint = std::move(*fingerprint);
    image.size = TRY(sizeOf(file.fd()));
    TRY(failpoint("image.pack.written"));
    Status published = file.publish(image.fingerprint);
    if (published)
        published = sys::fsync(m_state->folder);
    if (!published)
        return withFreeSpace(std::move(published.error()), m_state->folder, m_state->path).in("pack image");
    return image;
}

bool ImageStore::has(const std::string &fingerprint) const
{
    return isFingerprint(fingerprint) && sys::fstatat(m_state->folder, fingerprint).has_value();
}

Result<std::vector<std::string>> ImageStore::list() const
{
    auto names = TRY(path::list(m_state->folder));
    std::erase_if(names, [](const std::string &name) { return !isFingerprint(name); });
    std::ranges::sort(names);
    return names;
}

Status ImageStore::unpack(const std::string &fingerprint, const Fd &target, const UnpackLimits &limits, Progress &progress)
{
    const auto files = TRY(m_state->openBoth(fingerprint));
    const Bytes packed{TRY(sizeOf(files.first)).count + (files.second ? TRY(sizeOf(*files.second)).count : 0)};
    TRY(needSpace(target, packed, "image " + fingerprint.substr(0, 12) + " unpacked", "the storage pool"));
    const UnpackJob job{m_state->helper, files.first, files.second ? &*files.second : nullptr, &target, limits};
    auto done = unpackArchive(job, progress);
    if (!done)
        return withFreeSpace(std::move(done.error()), target, "the storage pool").in("unpack image " + fingerprint.substr(0, 12));
    return {};
}

Result<Image> ImageStore::look(const std::string &fingerprint, Progress &progress) const
{
    const auto files = TRY(m_state->openBoth(fingerprint));
    Image image;
    image.fingerprint = fingerprint;
    image.split = files.second.has_value();
    image.size = {TRY(sizeOf(files.first)).count + (files.second ? TRY(sizeOf(*files.second)).count : 0)};
    const UnpackJob job{m_state->helper, files.first, files.second ? &*files.second : nullptr, nullptr, {}};
    const Unpacked seen = TRY_IN("image", unpackArchive(job, progress));
    image.metadata = TRY_IN("image", parseMetadata(seen.metadata));
    return image;
}

Status ImageStore::setNote(const std::string &fingerprint, std::string_view text)
{
    return files::replace(m_state->folder, fingerprint + kNote, text);
}

Result<std::string> ImageStore::note(const std::string &fingerprint) const
{
    return files::readAll(TRY(m_state->open(fingerprint + kNote)));
}

Result<std::vector<ExportFile>> ImageStore::exportFiles(const std::string &fingerprint) const
{
    auto files = TRY(m_state->openBoth(fingerprint));
    const bool split = files.second.has_value();
    std::vector<ExportFile> out;
    const auto add = [&](const std::string &part, const std::string &start, Fd file) -> Status {
        const std::string extension = TRY(fileExtension(file));
        const Bytes size = TRY(sizeOf(file));
        out.push_back({part, start + fingerprint + extension, std::move(file), size});
        return {};
    };
    TRY(add(split ? "metadata" : "", split ? "meta-" : "", std::move(files.first)));
    if (split)
        TRY(add("rootfs", "", std::move(*files.second)));
    return out;
}

Status ImageStore::remove(const std::string &fingerprint)
{
    if (!isFingerprint(fingerprint))
        return Error(Code::Invalid, quoted(fingerprint) + " is not an image fingerprint (64 hex digits)");
    for (const std::string &name : {fingerprint, fingerprint + kRootfs, fingerprint + kNote}) {
        const Status removed = sys::unlinkat(m_state->folder, name);
        if (!removed && removed.error().errnum != ENOENT)
            return removed;
    }
    return sys::fsync(m_state->folder);
}

} // namespace lxmgr::images
