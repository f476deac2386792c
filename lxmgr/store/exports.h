// Table exports: exports of instances and volumes that the server keeps as files.
#pragma once

#include "store/projects.h"

#include <vector>

namespace lxmgr::store
{

enum class ExportStatus {
    Creating, ///< Before the first side effect; recovery takes it back.
    Ready,
    Deleting, ///< Nobody sees it any more; its file is still to be removed.
};

/// Whose an export is: the row of an instance or of a volume.
struct ExportOwner {
    enum class Kind { Instance, Volume };
    Kind kind = Kind::Instance;
    std::int64_t id = 0;
};

struct Export {
    std::int64_t id = 0;
    ExportOwner owner; ///< Id 0: it is gone, and may come back.
    std::string uuid;  ///< volatile.uuid of the instance; "" of a volume.
    std::string name;
    ExportStatus status = ExportStatus::Creating;
    std::string file; ///< In the folder of exports.
    bool withoutSnapshots = false;
    bool optimized = false;
    std::string compression;
    std::int64_t size = 0;      ///< Bytes.
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    std::int64_t expiresAt = 0; ///< 0: never.
};

/// Fills createdAt when 0. AlreadyExists; NotFound: no such owner.
Result<std::int64_t> insertExport(Database &db, const Export &row);
/// NotFound.
Result<Export> findExport(Database &db, const ExportOwner &owner, const std::string &name);
/// The oldest first.
Result<std::vector<Export>> listExports(Database &db, const ExportOwner &owner);
/// All there are, whoever's.
Result<std::vector<Export>> listExports(Database &db);
Result<std::vector<Export>> listExportsIn(Database &db, ExportStatus status);
/// Those that expire at `now` or before.
Result<std::vector<Export>> listExpiredExports(Database &db, std::int64_t now);
/// When the next one expires; 0: none does.
Result<std::int64_t> nextExportExpiry(Database &db);
/// It is whole, and this large.
Status finishExport(Database &db, std::int64_t id, std::int64_t size);
/// Nobody sees it from now on.
Status dropExport(Database &db, std::int64_t id);
Status dropExportsOf(Database &db, const ExportOwner &owner);
/// Those of the instance `uuid`, which was deleted and cannot come back any more.
Status dropExportsOfGone(Database &db, const std::string &uuid);
/// The instance `uuid` is there again.
Status adoptExports(Database &db, const std::string &uuid, std::int64_t instanceId);
/// AlreadyExists.
Status renameExport(Database &db, std::int64_t id, const std::string &name);
Status deleteExport(Database &db, std::int64_t id);

} // namespace lxmgr::store
