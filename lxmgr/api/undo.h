// What can be undone and what was recovered, as the wire has it. Ours: lxmgr_undo, lxmgr_recover.
#pragma once

#include "api/fields.h"
#include "api/time.h"
#include "api/types.h"

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

/// What can be undone (lxmgr_undo).
struct Undo {
    std::int64_t id = 0;
    std::string kind;        ///< "delete", "snapshot", "restore", "config", "profile"
    std::string object;      ///< Name of the instance, "web1/snap0", or of the profile.
    std::string project;
    std::string description; ///< "deletion of instance web1"
    std::string status;      ///< "Kept", "Working"
    std::string pool;        ///< Where its files are, "" where it has none.
    Time createdAt, expiresAt;
};
template <> struct Fields<Undo> {
    using T = Undo;
    static constexpr auto rows =
        std::tuple{Field{"id", &T::id},         Field{"kind", &T::kind},
                   Field{"object", &T::object}, Field{"project", &T::project},
                   Field{"description", &T::description}, Field{"status", &T::status},
                   Field{"pool", &T::pool},     Field{"created_at", &T::createdAt},
                   Field{"expires_at", &T::expiresAt}};
};

/// One key that undoing changes.
struct UndoChange {
    std::string key, now, then;
};
template <> struct Fields<UndoChange> {
    using T = UndoChange;
    static constexpr auto rows = std::tuple{Field{"key", &T::key}, Field{"now", &T::now}, Field{"then", &T::then}};
};

struct UndoFull : Undo {
    std::string obstacle;            ///< What keeps it from being undone now.
    std::int64_t size = -1;          ///< Of its files.
    std::vector<UndoChange> changes; ///< Of a definition that is there.
    std::vector<std::string> snapshots;
    StringMap config; ///< What was, as the rest.
    Devices devices;
    std::vector<std::string> profiles;
};
template <> struct Fields<UndoFull> {
    using T = UndoFull;
    static constexpr auto rows = std::tuple_cat(
        Fields<Undo>::rows, std::tuple{Field{"obstacle", &T::obstacle}, Field{"size", &T::size}, Field{"changes", &T::changes},
                                       Field{"snapshots", &T::snapshots}, Field{"config", &T::config},
                                       Field{"devices", &T::devices}, Field{"profiles", &T::profiles}});
};

/// POST /1.0/lxmgr/undo/{id}
struct UndoPost {
    std::string name; ///< Of a deleted instance or snapshot from now on, "" for as before.
};
template <> struct Fields<UndoPost> {
    static constexpr auto rows = std::tuple{Field{"name", &UndoPost::name}};
};

/// POST /internal/recover
struct RecoverPost {
    bool apply = false; ///< Else only said.
};
template <> struct Fields<RecoverPost> {
    static constexpr auto rows = std::tuple{Field{"apply", &RecoverPost::apply}};
};

/// What a pool holds and the database does not know.
struct Recovered {
    std::string kind; ///< "instance", "profile", "storage pool"
    std::string project, name, pool;
    std::string result; ///< "lost", "recovered", "failed"
    std::string message;
};
template <> struct Fields<Recovered> {
    using T = Recovered;
    static constexpr auto rows =
        std::tuple{Field{"kind", &T::kind}, Field{"project", &T::project}, Field{"name", &T::name},
                   Field{"pool", &T::pool}, Field{"result", &T::result},   Field{"message", &T::message}};
};

} // namespace lxmgr::api
