// Warnings: what goes wrong while nobody waits for an answer. It is logged, and kept for GET /1.0/warnings until it is put right.
#pragma once

#include "api/warnings.h"
#include "store/images.h"
#include "store/instances.h"
#include "store/networks.h"
#include "store/storage_pools.h"
#include "store/volumes.h"
#include "store/warnings.h"

#include <string>

namespace lxmgr::instances
{

using api::WarningType;

inline store::WarningSubject about(const store::Instance &row) { return {store::WarningSubject::Kind::Instance, row.id}; }
inline store::WarningSubject about(const store::StoragePool &row) { return {store::WarningSubject::Kind::Pool, row.id}; }
inline store::WarningSubject about(const store::Network &row) { return {store::WarningSubject::Kind::Network, row.id}; }
inline store::WarningSubject about(const store::Image &row) { return {store::WarningSubject::Kind::Image, row.id}; }
inline store::WarningSubject about(const store::Volume &row) { return {store::WarningSubject::Kind::Volume, row.id}; }
inline constexpr store::WarningSubject kAboutServer{};

/// `message` stands alone: it names the object. One that cannot be kept is in the log all the same.
void warn(store::Database &db, WarningType type, const store::WarningSubject &subject, const std::string &message);
/// It is no longer so, or never was.
void resolve(store::Database &db, WarningType type, const store::WarningSubject &subject);
/// Warns of what `done` failed with, "CONTEXT: reason"; resolves what it was warned of before where it did not.
void follow(store::Database &db, WarningType type, const store::WarningSubject &subject, const Status &done, const std::string &context);

/// Controllers of limits that this host does not have.
void warnOfHost(store::Database &db);

} // namespace lxmgr::instances
