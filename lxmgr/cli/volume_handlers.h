// The commands that make archives of storage volumes, keep them and take them in.
#pragma once

#include "cli/command.h"
#include "cli/output.h"

namespace lxmgr::cli
{

ColumnSet volumeExportColumns();
// kept_exports.cpp
Result<int> volumeExportKeep(Context &context, const Arguments &arguments);
Result<int> volumeExportList(Context &context, const Arguments &arguments);
Result<int> volumeExportShow(Context &context, const Arguments &arguments);
Result<int> volumeExportGet(Context &context, const Arguments &arguments);
Result<int> volumeExportRename(Context &context, const Arguments &arguments);
Result<int> volumeExportDelete(Context &context, const Arguments &arguments);
// exchange.cpp
Result<int> volumeExport(Context &context, const Arguments &arguments);
Result<int> volumeImport(Context &context, const Arguments &arguments);

} // namespace lxmgr::cli
