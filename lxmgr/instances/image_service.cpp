#include "instances/image_service.h"

#include "base/log.h"
#include "base/text.h"
#include "config/image_document.h"
#include "images/build.h"
#include "store/profiles.h"

#include <set>

namespace lxmgr::instances
{

namespace
{

/// What a build says, with the image's name in front.
class LabelledProgress final : public Progress
{
public:
    LabelledProgress(std::string label, Progress &to) : m_label(std::move(label)), m_to(to) {}
    void report(const std::string &text) override { m_to.report(m_label + ": " + text); }
    void onCancel(std::function<void()> callback) override { m_to.onCancel(std::move(callback)); }
    void note(const std::string &text) override { m_to.note(text); }
    bool cancelled() const override { return m_to.cancelled(); }

private:
    const std::string m_label;
    Progress &m_to;
};

} // namespace

Status moveAliases(store::Database &db, const std::string &project, const std::string &fingerprint,
                   const std::vector<std::string> &names, std::vector<std::string> &changed)
{
    changed = {fingerprint};
    for (const std::string &name : names) {
        auto alias = store::findAlias(db, project, name);
        if (!alias && alias.error().code != Code::NotFound)
            return alias.error();
        if (alias) {
            changed.push_back(alias->fingerprint);
            alias->fingerprint = fingerprint;
            TRY(store::updateAlias(db, *alias));
            continue;
        }
        store::ImageAlias fresh;
        fresh.project = project;
        fresh.name = name;
        fresh.fingerprint = fingerprint;
        TRY(store::insertAlias(db, fresh));
    }
    return {};
}

namespace
{

/// What the files of an image say themselves.
store::Image rowOf(const images::Image &image)
{
    store::Image row;
    row.fingerprint = image.fingerprint;
    row.architecture = image.metadata.architecture;
    row.format = image.split ? "split" : "unified";
    row.size = image.size.count;
    row.createdAt = image.metadata.creationDate * 1000;
    row.expiresAt = image.metadata.expiryDate * 1000;
    row.properties = image.metadata.properties;
    return row;
}

} // namespace

Result<BuildChoice> BuildChoice::from(const StringMap &options)
{
    BuildChoice choice;
    for (const auto &[name, value] : options) {
        if (name == "mirror")
            choice.mirror = value;
        else if (name == "suite")
            choice.suite = value;
        else
            return Error(Code::Invalid, "build option " + quoted(name) + ": there is no such option (mirror, suite)");
    }
    return choice;
}

std::optional<store::Image> ImageService::findBuilt(const std::string &project, const images::ResolvedImage &resolved)
{
    for (const std::string &alias : resolved.aliases)
        if (auto image = store::resolveImage(m_db, project, alias); image && image->status == store::ImageStatus::Ready)
            return std::move(*image);
    return std::nullopt;
}

Result<std::optional<store::Image>> ImageService::known(const std::string &project, const std::string &name, const BuildChoice &choice)
{
    std::optional<store::Image> none;
    if (!choice.empty())
        return none;
    if (auto image = store::resolveImage(m_db, project, name); image && image->status == store::ImageStatus::Ready)
        return std::move(*image);
    const auto resolved = images::resolveImageName(m_paths, name);
    if (!resolved && resolved.error().code != Code::NotFound)
        return resolved.error();
    if (resolved)
        if (auto image = findBuilt(project, *resolved))
            return image;
    return resolved && !resolved->needsNetwork ? none : fetchedAs(project, name, resolved ? &*resolved : nullptr, TRY(serverConfig()));
}

Result<store::Image> ImageService::obtain(const std::string &project, const std::string &name, const BuildChoice &choice,
                                          Progress &progress)
{
    if (auto image = TRY(known(project, name, choice)))
        return std::move(*image);
    auto resolved = images::resolveImageName(m_paths, name);
    if (!resolved && resolved.error().code != Code::NotFound)
        return resolved.error();
    std::string tried;
    if (choice.empty() && (!resolved || resolved->needsNetwork)) { // what can be had from this host alone is quicker than any answer
        auto fetched = fromServers(project, name, resolved ? &*resolved : nullptr, tried, progress);
        if (fetched || fetched.error().code != Code::NotFound)
            return fetched;
    }
    if (!resolved)
        return Error(Code::NotFound, "image " + quoted(name) + ": not an alias or fingerprint of the local store" + tried + ", and " +
                                         resolved.error().message);
    if (!tried.empty())
        progress.note("image " + quoted(name) + " is built here from template " + quoted(resolved->templateName) + " (" + tried.substr(2) + ")");
    auto built = buildOnce(project, *resolved, choice, progress);
    if (!built && !tried.empty())
        return std::move(built.error()).hint("before: " + tried.substr(2));
    return built;
}

Result<store::Image> ImageService::buildOnce(const std::string &project, const images::ResolvedImage &resolved, const BuildChoice &choice,
                                             Progress &progress)
{
    const auto lock = lockFor("build " + resolved.cacheKey);
    const std::lock_guard guard(*lock);
    if (choice.empty())
        if (auto image = findBuilt(project, resolved))
            return std::move(*image);
    return buildLocked(project, resolved, choice, progress);
}

Result<store::Image> ImageService::build(const std::string &project, const std::string &name, const BuildChoice &choice,
                                         Progress &progress)
{
    const images::ResolvedImage resolved = TRY(images::resolveImageName(m_paths, name));
    const auto lock = lockFor("build " + resolved.cacheKey);
    const std::lock_guard guard(*lock);
    return buildLocked(project, resolved, choice, progress);
}

Result<store::Image> ImageService::buildLocked(const std::string &project, const images::ResolvedImage &resolved,
                                               const BuildChoice &choice, Progress &progress)
{
    const std::string label = resolved.templateName + (resolved.release.empty() ? "" : "/" + resolved.release);
    const Pools::Use pool = TRY(m_pools.any());
    storage::Scratch scratch = TRY(pool->newScratch());
    images::BuildOptions options;
    options.mirror = choice.mirror;
    options.suite = choice.suite;
    options.directory = scratch.path();
    LabelledProgress labelled(label, progress);
    const images::BuiltImage built = TRY(images::build(m_paths, resolved, options, labelled));
    images::ImageStore::PackOptions packing;
    packing.progress = &labelled;
    const images::Image image = TRY_IN("template " + quoted(label), m_files.pack(scratch.path(), packing));
    const Status taken = pool->addImage(image.fingerprint, std::move(scratch));
    if (!taken && taken.error().code != Code::AlreadyExists)
        return taken.error();
    NewImage details;
    details.project = project;
    details.filename = image.fingerprint + ".tar.zst";
    details.source = "template:" + resolved.cacheKey;
    details.properties = built.properties;
    auto row = add(image, details);
    if (!row && row.error().code == Code::AlreadyExists)
        row = store::findImage(m_db, project, image.fingerprint);
    if (!row)
        return row.error();
    std::vector<std::string> changed;
    TRY(m_db.transaction([&]() -> Status {
        if (const auto before = findBuilt(project, resolved); before && before->id != row->id)
            TRY(store::copyImageProfiles(m_db, before->id, row->id));
        return moveAliases(m_db, project, row->fingerprint, resolved.aliases, changed);
    }));
    TRY(note(changed));
    return store::findImage(m_db, project, row->fingerprint);
}

Result<store::Image> ImageService::add(const images::Image &image, const NewImage &details)
{
    store::Image row = rowOf(image);
    row.project = details.project;
    row.filename = details.filename;
    row.isPublic = details.isPublic;
    row.source = details.source;
    row.cached = details.cached;
    row.autoUpdate = details.autoUpdate;
    row.expiresAt = details.expiresAt.value_or(row.expiresAt);
    row.origin = details.origin;
    for (const auto &[name, value] : details.properties)
        row.properties[name] = value;
    std::vector<std::string> changed;
    TRY(m_db.transaction([&]() -> Status {
        row.id = TRY(store::insertImage(m_db, row));
        TRY(store::setImageProfiles(m_db, row.id, row.project, details.profiles));
        return moveAliases(m_db, row.project, row.fingerprint, details.aliases, changed);
    }));
    TRY(note(changed));
    auto made = store::findImage(m_db, details.project, image.fingerprint);
    if (made)
        tell("image-created", *made);
    return made;
}

Status ImageService::remove(const std::string &project, const std::string &fingerprint)
{
    const store::Image image = TRY(store::findImage(m_db, project, fingerprint));
    store::FreeingSpace freeing(m_db);
    TRY(store::setImageStatus(m_db, image.id, store::ImageStatus::Deleting));
    if (TRY(store::isImageShared(m_db, image))) {
        TRY(store::deleteImage(m_db, image.id));
        tell("image-deleted", image);
        return note({image.fingerprint});
    }
    for (const Pools::Use &pool : m_pools.all())
        TRY_IN("image " + quoted(image.fingerprint.substr(0, 12)),
               freeing.attempt([&] { return pool->deleteImage(image.fingerprint); }));
    TRY(m_files.remove(image.fingerprint));
    TRY(store::deleteImage(m_db, image.id));
    tell("image-deleted", image);
    return {};
}

Status ImageService::note(const std::vector<std::string> &fingerprints)
{
    const auto lock = lockFor("note"); // two that note at once would not know whose database was the newer
    const std::lock_guard guard(*lock);
    for (const std::string &fingerprint : std::set(fingerprints.begin(), fingerprints.end())) {
        config::ImageDocument document{fingerprint, {}};
        for (const store::Project &project : TRY(store::listProjects(m_db))) {
            const auto row = store::findImage(m_db, project.name, fingerprint);
            if (!row || row->project != project.name)
                continue;
            config::ImageRecord record{project.name, row->filename, row->source, row->isPublic, row->uploadedAt, row->expiresAt,
                                       row->properties, {}, row->cached, row->autoUpdate, {}, {}};
            if (const auto &origin = row->origin)
                record.origin = {{"server", origin->server}, {"protocol", origin->protocol}, {"alias", origin->alias}, {"certificate", origin->certificate}};
            for (const std::string &alias : row->aliases)
                record.aliases.push_back({alias, TRY(store::findAlias(m_db, project.name, alias)).description});
            record.profiles = TRY(store::profilesOfImage(m_db, row->id));
            document.projects.push_back(std::move(record));
        }
        if (!document.projects.empty() && m_files.has(fingerprint))
            TRY(m_files.setNote(fingerprint, config::writeImageDocument(document)));
    }
    return {};
}

/// Those that have come back; of others nothing is left.
Status ImageService::bringProfilesBack(std::int64_t image, const std::string &project, std::vector<std::string> profiles)
{
    if (!store::findProject(m_db, project))
        return {};
    std::erase_if(profiles, [&](const std::string &name) {
        const bool gone = !store::findProfile(m_db, project, name);
        if (gone)
            log::warning("an image brought profile '" + name + "' of project '" + project + "', which has not come back, ignoring");
        return gone;
    });
    return store::setImageProfiles(m_db, image, project, profiles);
}

/// With what is noted beside it. Without that an image of the default project has what its file says of itself. Names that
/// others have by now are left to them.
Status ImageService::bringBack(const std::string &fingerprint)
{
    const images::Image image = TRY(m_files.look(fingerprint));
    config::ImageDocument document;
    const auto text = m_files.note(fingerprint);
    if (text)
        document = TRY(config::readImageDocument(*text, fingerprint.substr(0, 12) + ".yaml"));
    else if (text.error().code != Code::NotFound)
        return text.error();
    if (document.projects.empty())
        document.projects.push_back({store::kDefaultProject, "", "", false, store::unixMillis(), image.metadata.expiryDate * 1000,
                                     image.metadata.properties, {}, false, false, {}, {}});
    TRY(m_db.transaction([&]() -> Status {
        for (const config::ImageRecord &record : document.projects) {
            store::Image row = rowOf(image);
            row.project = record.project;
            row.filename = record.filename;
            row.isPublic = record.isPublic;
            row.source = record.source;
            row.uploadedAt = record.uploadedAt;
            row.expiresAt = record.expiresAt;
            row.properties = record.properties;
            row.cached = record.cached;
            row.autoUpdate = record.autoUpdate;
            if (const StringMap &from = record.origin; from.contains("server") && from.contains("protocol") && from.contains("alias"))
                row.origin = store::ImageOrigin{from.at("server"), from.at("protocol"), from.at("alias"),
                                                from.contains("certificate") ? from.at("certificate") : "", 0};
            const std::int64_t id = TRY(store::insertImage(m_db, row));
            for (const auto &[project, profiles] : record.profiles)
                TRY(bringProfilesBack(id, project, profiles));
            for (const config::ImageAliasDocument &alias : record.aliases)
                if (!store::findAlias(m_db, record.project, alias.name))
                    TRY(store::insertAlias(m_db, {0, record.project, alias.name, alias.description, fingerprint}));
        }
        return {};
    }));
    return note({fingerprint});
}

Result<bool> ImageService::isKnown(const std::string &fingerprint)
{
    for (const store::Project &project : TRY(store::listProjects(m_db)))
        if (store::findImage(m_db, project.name, fingerprint))
            return true;
    return false;
}

Status ImageService::recoverLost(Apply apply, std::vector<Found> &found)
{
    for (const std::string &fingerprint : TRY(m_files.list())) {
        if (TRY(isKnown(fingerprint)))
            continue;
        const Status done = apply == Apply::Yes ? bringBack(fingerprint) : Status();
        found.push_back(outcome({"image", "", fingerprint.substr(0, 12), "", {}, {}}, done, apply));
    }
    return {};
}

Status ImageService::ensureUnpacked(storage::Driver &pool, const std::string &fingerprint, Progress &progress)
{
    if (pool.hasImage(fingerprint))
        return {};
    const auto lock = lockFor("unpack " + pool.name() + " " + fingerprint);
    const std::lock_guard guard(*lock);
    if (pool.hasImage(fingerprint))
        return {};
    progress.report("unpacking image");
    return pool.addImage(fingerprint, [&](const Fd &to) { return m_files.unpack(fingerprint, to, {}, progress); });
}

} // namespace lxmgr::instances
