// Profiles as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/types.h"
#include "api/undo.h"

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct Profile {
    std::string name, description;
    StringMap config;
    Devices devices;
    std::vector<std::string> usedBy;
    std::string project = "default";
};
template <> struct Fields<Profile> {
    using T = Profile;
    static constexpr auto rows = std::tuple{
        Field{"config", &T::config}, Field{"description", &T::description}, Field{"devices", &T::devices},
        Field{"name", &T::name},     Field{"used_by", &T::usedBy},          Field{"project", &T::project},
    };
};

/// POST /1.0/profiles (with name), PUT and PATCH (without).
struct ProfilePut {
    std::string name;
    std::optional<std::string> description;
    std::optional<StringMap> config;
    std::optional<Devices> devices;
};
template <> struct Fields<ProfilePut> {
    using T = ProfilePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows =
        std::tuple{Field{"name", &T::name, E}, Field{"description", &T::description, E}, Field{"config", &T::config, E},
                   Field{"devices", &T::devices, E}};
};

/// PUT /1.0/profiles (lxmgr_profiles_apply): profiles as they are to be, all of them or none.
struct ProfilesPut {
    std::vector<ProfilePut> profiles;
    bool dryRun = false; ///< Only say what would change.
};
template <> struct Fields<ProfilesPut> {
    using T = ProfilesPut;
    static constexpr auto rows = std::tuple{Field{"profiles", &T::profiles}, Field{"dry_run", &T::dryRun}};
};

/// What applying one does: "create", "change" or "keep".
struct ProfileChange {
    std::string name, action;
    std::vector<UndoChange> changes;
    std::vector<std::string> usedBy;
};
template <> struct Fields<ProfileChange> {
    using T = ProfileChange;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"action", &T::action}, Field{"changes", &T::changes},
                                            Field{"used_by", &T::usedBy}};
};

struct ProfilesChanged {
    std::vector<ProfileChange> profiles;
    std::map<std::string, std::vector<std::string>> restartNeeded; ///< Keys that running instances take at their next start.
};
template <> struct Fields<ProfilesChanged> {
    using T = ProfilesChanged;
    static constexpr auto rows = std::tuple{Field{"profiles", &T::profiles}, Field{"restart_needed", &T::restartNeeded}};
};

} // namespace lxmgr::api
