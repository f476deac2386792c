#include "store/profiles.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT f.id, p.name, f.name, f.description FROM profiles f JOIN projects p ON p.id = f.project_id ";
constexpr std::string_view kSelectUsers = "SELECT a.profile_id, i.name, p.name FROM instance_profiles a JOIN instances i ON "
                                          "i.id = a.instance_id JOIN projects p ON p.id = i.project_id WHERE a.profile_id BETWEEN ? AND ? "
                                          "ORDER BY a.profile_id, p.name, i.name";
constexpr std::string_view kInsert = "INSERT INTO profiles (project_id, name, description) VALUES (?, ?, ?)";
constexpr PartTable kConfig = {"profile_config", "profile_id"};
constexpr PartTable kDevices = {"profile_devices", "profile_id"};

std::string missing(std::int64_t id) { return "profile " + std::to_string(id) + " does not exist any more"; }

Status readUsers(Database &db, std::vector<Profile> &profiles)
{
    const OwnerSpan owners = spanOf(profiles);
    Statement row = TRY(query(db, kSelectUsers, owners.first, owners.last));
    Follower<Profile> follower(profiles);
    while (TRY(row.next()))
        if (Profile *profile = follower.find(row.integer(0)))
            profile->usedBy.push_back({row.text(2), row.text(1)});
    return {};
}

Status readParts(Database &db, std::vector<Profile> &profiles)
{
    Follower<Profile> config(profiles), devices(profiles);
    TRY(readStrings(db, kConfig, spanOf(profiles), [&](std::int64_t id) {
        Profile *profile = config.find(id);
        return profile != nullptr ? &profile->config : nullptr;
    }));
    TRY(readDevices(db, kDevices, spanOf(profiles), [&](std::int64_t id) {
        Profile *profile = devices.find(id);
        return profile != nullptr ? &profile->devices : nullptr;
    }));
    return readUsers(db, profiles);
}

template <class... Values>
Result<std::vector<Profile>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Profile> profiles;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY f.id", values...));
        while (TRY(row.next()))
            profiles.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), {}, {}, {}});
    }
    TRY(readParts(db, profiles));
    sortByName(profiles);
    return profiles;
}

Status writeParts(Database &db, std::int64_t id, const Profile &profile)
{
    TRY(writeStrings(db, kConfig, id, profile.config));
    return writeDevices(db, kDevices, id, profile.devices);
}

/// Every project has its default profile; new instances count on it.
Status refuseDefault(const Profile &profile, const char *what)
{
    if (profile.name == "default")
        return Error(Code::Forbidden, std::string("the default profile cannot be ") + what);
    return {};
}

Result<Profile> byId(Database &db, std::int64_t id) { return onlyRow(select(db, "WHERE f.id=?", id), missing(id)); }

} // namespace

std::string namesOf(const std::vector<Profile::User> &users)
{
    std::vector<std::string> names;
    for (const Profile::User &user : users)
        names.push_back(user.instance);
    return join(names, ", ");
}

Result<Profile> findProfile(Database &db, const std::string &project, const std::string &name)
{
    return onlyRow(select(db, "WHERE p.name=? AND f.name=?", TRY(homeOf(db, project, Shared::Profiles)), name),
                   titled("profile", project, name) + " does not exist");
}

Result<std::vector<Profile>> listProfiles(Database &db, const std::string &project)
{
    return project.empty() ? select(db, "") : select(db, "WHERE p.name=?", TRY(homeOf(db, project, Shared::Profiles)));
}

Result<std::int64_t> insertProfile(Database &db, const Profile &profile)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, TRY(homeOf(db, profile.project, Shared::Profiles))));
        TRY(named(run(db, kInsert, project, profile.name, profile.description),
                  titled("profile", profile.project, profile.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeParts(db, id, profile));
        return id;
    });
}

Status updateProfile(Database &db, const Profile &profile)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(profile.id), "UPDATE profiles SET description=? WHERE id=?", profile.description,
                   profile.id));
        return writeParts(db, profile.id, profile);
    });
}

Status renameProfile(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&]() -> Status {
        TRY(refuseDefault(TRY(byId(db, id)), "renamed"));
        return named(change(db, missing(id), "UPDATE profiles SET name=? WHERE id=?", name, id),
                     "profile " + quoted(name) + " already exists");
    });
}

Status deleteProfile(Database &db, std::int64_t id)
{
    return db.transaction([&]() -> Status {
        const Profile profile = TRY(byId(db, id));
        TRY(refuseDefault(profile, "deleted"));
        if (!profile.usedBy.empty())
            return Error(Code::WrongState, titled("profile", profile.project, profile.name) + " is used by " +
                                               namesOf(profile.usedBy));
        return change(db, missing(id), "DELETE FROM profiles WHERE id=?", id);
    });
}

} // namespace lxmgr::store
