// Parts of the exports that a server keeps, for exports that only pass through it.
#pragma once

#include "api/operations.h"
#include "cli/context.h"

#include <string>

namespace lxmgr::cli
{

/// Writes the export at `path` ("…/backups/<name>") to `fd`.
Status downloadExport(Context &context, const std::string &path, int fd);
/// The name that the daemon gave, from ".../backups/<name>".
std::string exportName(const api::Operation &done);

} // namespace lxmgr::cli
