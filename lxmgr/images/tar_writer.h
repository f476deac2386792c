// Writing tar archives of whole trees by descriptors: owners, modes, times, links, holes, attributes; compressed on all
// cores, hashed on the way.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "images/content_hash.h"
#include "images/fingerprint.h"
#include "images/store.h"

#include <map>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <utility>

struct archive;
struct archive_entry;

namespace lxmgr::images
{

class TarWriter
{
public:
    /// `to` may be a pipe; both outlive this.
    TarWriter(const Fd &to, Progress &progress);
    TarWriter(const TarWriter &) = delete;
    TarWriter &operator=(const TarWriter &) = delete;
    ~TarWriter();

    /// An image has times to the second and names as bytes; an export has exact times, which takes a record more for
    /// each entry, and UTF-8 names as such, which every reader takes without a word.
    /// What is for sqfstar is as an image, but holes are bytes: it does not read the form they have here.
    enum class For { Image, Export, Squashfs };
    Status open(Compression compression, For use);
    /// `name` of `folder`, with all below it, as `path`. Cancelled; NoSpace. Sockets are left out and counted.
    Status add(const Fd &folder, const std::string &name, const std::string &path);
    /// The tree that `root` is the top of, as `path`.
    Status addTree(const Fd &root, const std::string &path);
    Status addFile(const std::string &path, const std::string &content, unsigned mode);
    Status addEmptyFolder(const std::string &path, unsigned mode);
    Status close();

    /// After close().
    std::string hash() { return m_sink.hash.finish(); } ///< SHA-256 of what was written.
    std::string contentHash() { return m_content.finish(); }
    Bytes size() const { return {m_sink.size}; }
    std::uint64_t socketsLeftOut() const { return m_sockets; }

private:
    /// Where the compressed bytes go: into the file and the hash at once.
    struct Sink {
        const Fd &file;
        Sha256 hash;
        std::uint64_t size = 0;
        Status status;
    };
    struct FreeEntry {
        void operator()(archive_entry *entry) const;
    };
    using Entry = std::unique_ptr<archive_entry, FreeEntry>;

    static long writeSink(archive *, void *data, const void *bytes, std::size_t size);
    Status check(int status) const;
    Status begin(const Entry &entry, const std::string &path);
    Status addOpened(const Fd &file, const std::string &path, const struct stat &info);
    Status addFolder(const Fd &folder, const std::string &path);
    Status addContent(const Fd &file, const std::string &path, std::uint64_t size);
    Status addOther(const Fd &folder, const std::string &name, const std::string &path, const struct stat &info);
    Entry makeEntry(const std::string &path, const struct stat &info) const;
    void reportNow();

    Sink m_sink;
    archive *m_archive;
    Progress &m_progress;
    std::string m_buffer;
    ContentHash m_content;
    std::uint64_t m_bytes = 0;
    std::uint64_t m_sockets = 0;
    std::int64_t m_reportedAt = 0;
    bool m_holes = true;
    std::map<std::pair<dev_t, ino_t>, std::string> m_links;
};

} // namespace lxmgr::images
