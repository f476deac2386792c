#include "migrate/job.h"

#include "base/pieces.h"
#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <sstream>
#include <sys/mman.h>

namespace lxmgr::migrate
{

namespace
{

Result<Fd> jobFile(const TreeJob &job)
{
    Fd file = TRY(sys::memfd_create("tree", MFD_CLOEXEC));
    TRY(files::writeAll(file, encodeTreeJob(job)));
    return file;
}

Result<TreeResult> resultOf(images::Unpacked told)
{
    TreeResult result;
    std::istringstream words(told.hash);
    words >> result.entries >> result.data >> result.leftOut;
    if (!words)
        return Error(Code::Corrupt, "the helper's result cannot be read");
    result.devices = std::move(told.devices);
    return result;
}

} // namespace

std::string encodeTreeJob(const TreeJob &job)
{
    PieceWriter pieces;
    pieces.texts(job.layers);
    pieces.texts(job.before);
    pieces.number(job.devices ? 1 : 0);
    return std::move(pieces).take();
}

Result<TreeJob> decodeTreeJob(std::string_view bytes)
{
    PieceReader pieces(bytes);
    TreeJob job;
    job.layers = TRY(pieces.texts());
    job.before = TRY(pieces.texts());
    job.devices = TRY(pieces.number()) != 0;
    return job;
}

std::string encodeTreeResult(const TreeResult &result)
{
    return std::to_string(result.entries) + " " + std::to_string(result.data) + " " + std::to_string(result.leftOut);
}

Result<TreeResult> runSender(const std::string &helper, const TreeJob &job, const Fd &stream, Progress &progress)
{
    const Fd file = TRY(jobFile(job));
    return resultOf(TRY(images::unpackArchive({helper, file, &stream, nullptr, {}, images::UnpackWork::SendTree}, progress)));
}

Result<TreeResult> runTaker(const std::string &helper, const TreeJob &job, const Fd &stream, const Fd &to, const images::UnpackLimits &limits,
                            Progress &progress)
{
    const Fd file = TRY(jobFile(job));
    return resultOf(TRY(images::unpackArchive({helper, file, &stream, &to, limits, images::UnpackWork::TakeTree}, progress)));
}

} // namespace lxmgr::migrate
