#include "daemon/audit.h"

#include "api/operations.h"
#include "api/time.h"
#include "base/log.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{
constexpr off_t kLongest = 10 << 20; // then it becomes audit.log.1

thread_local std::shared_ptr<const Peer> t_peer;

Result<Fd> openLog(const std::string &path)
{
    Fd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        return Error::fromErrno(errno, "open", path);
    return file;
}

void begin(api::JsonWriter &writer, const Peer &peer)
{
    writer.beginObject();
    writer.key("time");
    writeJson(writer, api::Time::now());
    writer.key("requestor");
    writeJson(writer, peer.requestor());
    if (peer.pid != 0) {
        writer.key("pid");
        writer.integer(peer.pid);
    }
}

void text(api::JsonWriter &writer, std::string_view key, std::string_view value)
{
    writer.key(key);
    writer.string(value);
}
} // namespace

OnBehalfOf::OnBehalfOf(std::shared_ptr<const Peer> peer) : m_before(std::exchange(t_peer, std::move(peer))) {}
OnBehalfOf::~OnBehalfOf() { t_peer = std::move(m_before); }
std::shared_ptr<const Peer> OnBehalfOf::current() { return t_peer; }

Result<std::unique_ptr<Audit>> Audit::open(const std::string &logDir, Trouble trouble)
{
    if (::mkdir(logDir.c_str(), 0700) < 0 && errno != EEXIST)
        return Error::fromErrno(errno, "mkdir", logDir);
    const std::string path = logDir + "/audit.log";
    return std::unique_ptr<Audit>(new Audit(path, TRY(openLog(path)), std::move(trouble)));
}

void Audit::request(const Peer &peer, const api::Route &route, const std::string &path, const std::string &project, int status)
{
    std::string line;
    {
        api::JsonWriter writer(line);
        begin(writer, peer);
        text(writer, "method", api::verbName(route.verb));
        text(writer, "path", path);
        text(writer, "project", project);
        writer.key("status");
        writer.integer(status);
        writer.endObject();
    }
    write(std::move(line));
}

void Audit::operation(const api::Operation &operation, const std::string &project, const Peer &peer)
{
    std::string line;
    {
        api::JsonWriter writer(line);
        begin(writer, peer);
        text(writer, "operation", operation.id);
        text(writer, "description", operation.description);
        text(writer, "project", project);
        writer.key("resources");
        writeJson(writer, operation.resources);
        text(writer, "result", operation.status);
        if (!operation.err.empty())
            text(writer, "error", operation.err);
        writer.endObject();
    }
    write(std::move(line));
}

void Audit::refused(const Peer &peer, const std::string &method, const std::string &path, int status)
{
    std::string line;
    {
        api::JsonWriter writer(line);
        begin(writer, peer);
        text(writer, "method", method);
        text(writer, "path", path);
        text(writer, "result", "refused");
        writer.key("status");
        writer.integer(status);
        writer.endObject();
    }
    write(std::move(line));
}

void Audit::write(std::string line)
{
    line += '\n';
    const std::lock_guard lock(m_mutex);
    struct stat info {
    };
    if (::fstat(m_file.get(), &info) == 0 && info.st_size > kLongest && ::rename(m_path.c_str(), (m_path + ".1").c_str()) == 0) {
        if (Result<Fd> fresh = openLog(m_path))
            m_file = std::move(*fresh);
    }
    // One write(2) with O_APPEND: lines do not mix, whoever else writes there.
    if (::write(m_file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        const std::string trouble = std::string("the audit log takes no more: ") + std::strerror(errno);
        log::error("it would have said: " + line);
        m_trouble(trouble);
    }
}

} // namespace lxmgr::daemon
