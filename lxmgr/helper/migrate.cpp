// lxmgr-helper migrate send|take LIMIT=N…: one tree to or from another host, on a stream to the helper there. The sender has
// nothing but the right to read its trees; the taker writes to one folder, and what it is sent can name nothing else.
#include "base/text.h"
#include "helper/modes.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "migrate/job.h"
#include "migrate/send.h"
#include "migrate/take.h"

#include <chrono>
#include <optional>
#include <unistd.h>

namespace lxmgr::helper
{

namespace
{

using namespace images;

constexpr std::size_t kLongestJob = 1 << 20;
constexpr auto kTellEvery = std::chrono::milliseconds(200);

/// A line now and then.
class Teller
{
public:
    explicit Teller(const Fd &report) : m_report(report) {}
    void operator()(std::uint64_t bytes)
    {
        const auto now = std::chrono::steady_clock::now();
        if (now < m_next)
            return;
        m_next = now + kTellEvery;
        sendReport(m_report, ReportKind::Progress, humanBytes(Bytes{bytes}));
    }

private:
    const Fd &m_report;
    std::chrono::steady_clock::time_point m_next = std::chrono::steady_clock::now() + kTellEvery;
};

Result<migrate::TreeJob> readJob()
{
    const Fd file(kFirstFd);
    TRY(sys::call("lseek", {}, [&] { return ::lseek(file.get(), 0, SEEK_SET); }));
    return migrate::decodeTreeJob(TRY(files::readAll(file, kLongestJob)));
}

Status send(const Fd &report)
{
    const migrate::TreeJob job = TRY(readJob());
    const Fd socket(kSecondFd);
    const Fd tree = TRY(mount::openLayers(job.layers));
    const std::optional<Fd> before = job.before.empty() ? std::optional<Fd>() : TRY(mount::openLayers(job.before));
    std::vector<const Fd *> trees = {&tree};
    if (before)
        trees.push_back(&*before);
    TRY(shutInPacker(trees));
    migrate::Stream stream(socket);
    const migrate::Sent sent = TRY(migrate::sendTree(stream, tree, before ? &*before : nullptr, Teller(report)));
    sendReport(report, ReportKind::Hash, migrate::encodeTreeResult({sent.entries, sent.data, sent.leftOut, {}}));
    return {};
}

Status take(std::span<char *const> args, const Fd &report)
{
    migrate::TakeOptions options;
    for (char *const argument : args)
        TRY(parseLimitArgument(argument, options.limits));
    const migrate::TreeJob job = TRY(readJob());
    const Fd socket(kSecondFd);
    const Fd target(kTargetFd);
    options.devices = job.devices;
    options.told = Teller(report);
    const Sandbox box = TRY(enterTaker(target, job.layers, options.limits));
    migrate::Stream stream(socket);
    const migrate::Taken taken = TRY(migrate::takeTree(stream, box.base ? &*box.base : nullptr, *box.target, options));
    for (const DeviceEntry &device : taken.devices)
        sendReport(report, ReportKind::Device, formatDevice(device));
    sendReport(report, ReportKind::Hash, migrate::encodeTreeResult({taken.entries, taken.data, taken.devicesLeftOut, {}}));
    return {};
}

} // namespace

int migrateTree(std::span<char *const> args)
{
    const Fd report(kReportFd);
    return readArchive(report, [&]() -> Status {
        const std::string_view work = args.empty() ? std::string_view() : args[0];
        if (work == "send")
            return send(report);
        if (work == "take")
            return take(args.subspan(1), report);
        return Error(Code::Usage, "migrate send|take LIMIT=N…");
    });
}

} // namespace lxmgr::helper
