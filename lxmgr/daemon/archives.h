// Archives on their way: as the answer, into a descriptor that came along, or uploaded.
#pragma once

#include "daemon/context.h"

#include <functional>
#include <memory>
#include <string>

namespace lxmgr::daemon
{

/// What a client asks of an export, checked.
Result<instances::ExportRequest> exportRequest(bool withoutSnapshots, bool optimized, const std::string &compression);
/// Of a volume. Unsupported: optimized.
Result<instances::ExportRequest> volumeExportRequest(bool withoutSnapshots, bool optimized, const std::string &compression);
/// Writes an archive to `to`; `begun` is to run when nothing but the packing can fail any more.
using WriteArchive =
    std::function<Result<images::Exported>(const Fd &to, Progress &progress, const std::function<void()> &begun)>;
/// The archive is the answer. What fails before its first byte is told as an error; later the answer is cut off.
Status streamArchive(const Responder &responder, const WriteArchive &write);
/// It goes into the descriptor that came with the request, as an operation.
Status passArchive(Context &context, Request &request, const Responder &responder, TaskOptions options, WriteArchive write);
/// The server keeps it, as an operation; `keep` makes it.
Status keepArchive(Context &context, const Responder &responder, TaskOptions options, const store::Export &reserved,
                   std::function<Result<images::Exported>(Progress &progress)> keep);

/// What came in one piece, as a file like what did not.
Result<std::shared_ptr<Fd>> uploaded(Request &request);
/// X-Incus-config or X-LXD-config: keys put over the archive's.
Result<StringMap> configHeader(const Request &request);

} // namespace lxmgr::daemon
