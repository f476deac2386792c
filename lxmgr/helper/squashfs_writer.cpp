#include "helper/squashfs_writer.h"

#include "base/text.h"
#include "helper/program.h"
#include "images/fingerprint.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "kernel/files.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <unistd.h>

namespace lxmgr::helper
{

using namespace images;

namespace
{

constexpr std::size_t kLongestReply = 64 * 1024;

/// Among its remarks on headers it does not know stands what ended it.
Error failed(const Ran &ran)
{
    std::string reason;
    for (const std::string &line : split(ran.words, '\n')) {
        if (line.find("No space left") != std::string::npos || line.find("quota exceeded") != std::string::npos)
            return {Code::NoSpace, "mksquashfs: " + escaped(line)};
        if (!line.empty() && line.find("ignoring") == std::string::npos)
            reason = line;
    }
    return {Code::Internal, "mksquashfs ended with status " + std::to_string(ran.exitCode) + (reason.empty() ? "" : ": " + escaped(reason))};
}

Result<SquashfsWriter::Written> write(const Fd &program, const Fd &to, const Fd &archive)
{
    const Sandbox box = TRY(enterSandbox(SandboxUse::ProgramWriter, nullptr, {&to}, {}));
    TRY(sys::call("dup2", {}, [&] { return ::dup2(archive.get(), STDIN_FILENO); }));
    const Fd &file = box.readable.front();
    // -mem: it would take a quarter of the machine's. -force: the file is there, and empty.
    const Ran ran = TRY(runProgram(
        program, {"sqfstar", "-quiet", "-no-progress", "-force", "-comp", "zstd", "-mem", "512M", "-root-mode", "0755", pathOf(file)}, {file.get()}));
    if (ran.exitCode != 0)
        return failed(ran);
    Sha256 hash;
    TRY(hashFile(to, hash));
    return SquashfsWriter::Written{{static_cast<std::uint64_t>(TRY(sys::fstat(to)).st_size)}, hash.finish()};
}

[[noreturn]] void serve(const Fd &program, const Fd &to, const Fd &archive, const Fd &report)
{
    if (const auto written = write(program, to, archive))
        sendReport(report, ReportKind::Hash, std::to_string(written->size.count) + " " + written->hash);
    else
        sendError(report, written.error());
    ::_exit(0);
}

} // namespace

Result<SquashfsWriter> SquashfsWriter::start(const Fd &to)
{
    const auto program = openProgram("mksquashfs");
    if (!program)
        return Error(Code::Unsupported, "compression \"squashfs\" takes mksquashfs, which is not installed (apt-get install squashfs-tools)");
    program::Pipe archive = TRY(program::Pipe::create());
    program::Pipe report = TRY(program::Pipe::create());
    // Whoever ends this process ends that one, too (enterSandbox), and with it the program.
    if (TRY(sys::call("fork", {}, [] { return ::fork(); })) == 0) {
        archive.write.reset(); // or the end of the archive would never be seen
        serve(*program, to, archive.read, report.write);
    }
    SquashfsWriter writer;
    writer.m_input = std::move(archive.write);
    writer.m_report = std::move(report.read);
    return writer;
}

Result<SquashfsWriter::Written> SquashfsWriter::finish()
{
    m_input.reset();
    ReportReader reader;
    Result<Written> written = Error(Code::Internal, "mksquashfs was killed");
    const std::string said = TRY(files::readAll(m_report, kLongestReply));
    TRY(reader.feed(said.data(), said.size(), [&](ReportKind kind, const std::string &text) {
        const std::size_t space = text.find(' ');
        if (kind == ReportKind::Failed)
            written = parseError(text);
        else if (const auto size = parseUnsigned(text.substr(0, space), 0, UINT64_MAX); size && space != std::string::npos)
            written = Written{{*size}, text.substr(space + 1)};
    }));
    return written;
}

} // namespace lxmgr::helper
