// Images that come from other servers: fetched, shared, looked for anew and let go.
#include "api/images.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "images/fingerprint.h"
#include "instances/image_service.h"
#include "instances/policy.h"
#include "instances/warnings.h"
#include "servers/download.h"
#include "servers/linked.h"
#include "store/server_config.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

constexpr std::int64_t kKeepPartialSeconds = 7 * 86400;
constexpr std::string_view kByUrl = "url"; ///< In place of a protocol: the address of a page that leads to one image.
constexpr std::uint64_t kLargest = 64ULL << 30;

/// Where nobody has named the server, it must not be waited for.
servers::Patience hasty(int cancelFd) { return {.connectMs = 3000, .quietMs = 10'000, .cancelFd = cancelFd, .knownRoute = true}; }
servers::Patience patient(int cancelFd) { return {.cancelFd = cancelFd}; }

std::string titleOf(const std::string &server) { return "image server " + quoted(server); }

Result<servers::ImageServer> serverOf(const RemoteImage &wanted, const servers::Patience &patience)
{
    const servers::Protocol protocol = TRY(servers::parseProtocol(wanted.protocol));
    return servers::ImageServer::at({wanted.server, protocol, wanted.certificate, wanted.ofDefault() ? "" : wanted.project}, patience);
}

/// An upload as what a download fills.
class UploadTarget final : public servers::Target
{
public:
    explicit UploadTarget(images::Upload &upload) : m_upload(upload) {}
    std::size_t part() const override { return m_upload.part(); }
    std::uint64_t received() const override { return m_upload.receivedOfPart().count; }
    std::uint64_t ofAll() const override { return m_upload.received().count; }
    Status write(std::string_view piece) override { return m_upload.write(std::as_bytes(std::span(piece))); }
    Status nextPart() override { return m_upload.nextPart(); }
    Status startAgain() override { return m_upload.startAgain(); }
    Status setNote(const std::string &text) override { return m_upload.setNote(text); }
    std::string note() const override { return m_upload.note(); }

private:
    images::Upload &m_upload;
};

/// What an offer says of its image, under what the request says.
NewImage completed(NewImage details, const servers::Offer &offer)
{
    const api::Image &image = offer.image;
    const auto plain = [](unsigned char c) { return c > ' ' && c < 0x7f && c != '/' && c != '"' && c != ';'; };
    if (details.filename.empty() && image.filename.size() <= 255 && std::ranges::all_of(image.filename, plain))
        details.filename = image.filename;
    for (const auto &[name, value] : image.properties)
        details.properties.emplace(name, value);
    if (!details.expiresAt && image.expiresAt.isSet())
        details.expiresAt = image.expiresAt.seconds * 1000;
    return details;
}

bool isWorthNoMore(const Error &error)
{
    return error.code == Code::Cancelled || error.code == Code::NoSpace || error.code == Code::Corrupt || error.code == Code::Invalid;
}

} // namespace

Status RemoteImage::check() const
{
    if (protocol == kByUrl)
        return servers::ImageServer::at({server, servers::Protocol::Simplestreams, {}, {}}, patient(-1)).has_value()
                   ? Status()
                   : Status(Error(Code::Invalid, quoted(server) + " is no address that begins with https://"));
    TRY(serverOf(*this, patient(-1)));
    if (name.empty() && servers::parseProtocol(protocol).value_or(servers::Protocol::Api) != servers::Protocol::Simplestreams)
        return Error(Code::Invalid, "source: neither an alias nor a fingerprint is given");
    if (name.size() > 256 || !isValidUtf8(name))
        return Error(Code::Invalid, "source: " + quoted(name) + " is no name of an image");
    if (!secret.empty() && !images::isFingerprint(name))
        return Error(Code::Invalid, "source: with a secret the whole fingerprint is needed");
    return {};
}

Result<config::ServerConfig> ImageService::serverConfig() { return config::parseServerConfig(TRY(store::serverConfig(m_db))); }

/// The files of an offer into the image store, whatever an earlier attempt has left of them.
Result<images::Image> ImageService::download(servers::ImageServer &server, const servers::Offer &offer, Progress &progress)
{
    if (offer.image.size < 0 || static_cast<std::uint64_t>(offer.image.size) > kLargest)
        return Error(Code::Invalid, "an image of " + std::to_string(offer.image.size) + " bytes is larger than an image may be");
    const Bytes size{static_cast<std::uint64_t>(offer.image.size)};
    for (bool again = false;; again = true) {
        images::Upload upload = TRY(m_files.resume(offer.image.fingerprint, size));
        UploadTarget target(upload);
        const bool resumed = upload.received().count > 0;
        if (const Status done = servers::download(server, offer, target, progress); !done) {
            if (isWorthNoMore(done.error()))
                upload.discard();
            return done.error();
        }
        images::ImportOptions options;
        options.expectedFingerprint = offer.image.fingerprint;
        options.progress = &progress;
        auto image = m_files.commit(std::move(upload), options);
        // What was left from before may have been of another file, or never have come to the disk.
        if (image || image.error().code != Code::Corrupt || !resumed || again)
            return image;
    }
}

/// An image that is there already, as the request wants it.
Result<store::Image> ImageService::adapt(store::Image row, const NewImage &details)
{
    std::vector<std::string> changed;
    row.isPublic = row.isPublic || details.isPublic;
    row.cached = row.cached && details.cached;
    row.autoUpdate = row.autoUpdate || details.autoUpdate;
    const bool takesOrigin = details.origin && !details.origin->alias.empty() && (!row.origin || row.origin->alias.empty());
    TRY(m_db.transaction([&]() -> Status {
        TRY(store::updateImage(m_db, row));
        if (takesOrigin)
            TRY(store::setImageOrigin(m_db, row.id, *details.origin));
        if (!details.profiles.empty())
            TRY(store::setImageProfiles(m_db, row.id, details.project, details.profiles));
        return moveAliases(m_db, row.project, row.fingerprint, details.aliases, changed);
    }));
    TRY(note(changed));
    return store::findImage(m_db, details.project, row.fingerprint);
}

Result<store::Image> ImageService::fetch(const std::string &project, servers::ImageServer &server, const servers::Offer &offer,
                                         const NewImage &given, Progress &progress)
{
    const std::string &fingerprint = offer.image.fingerprint;
    NewImage details = given;
    details.project = project;
    if (auto row = store::findImage(m_db, project, fingerprint); row && row->status == store::ImageStatus::Ready)
        return adapt(std::move(*row), details);
    if (offer.image.type != "container" && !offer.image.type.empty())
        return Error(Code::Unsupported, "image " + quoted(fingerprint.substr(0, 12)) + " is of type " + quoted(offer.image.type));
    details = completed(std::move(details), offer);
    if (details.filename.empty())
        details.filename = fingerprint;
    std::optional<images::Image> image;
    const std::string source = server.source();
    TRY(m_downloads.once(fingerprint, source, server.site().patience().cancelFd, progress, [&](Progress &shared) -> Status {
        image = TRY(download(server, offer, shared));
        return {};
    }));
    if (!image) // somebody else's work
        image = TRY(m_files.look(fingerprint, progress));
    auto row = add(*image, details);
    if (!row && row.error().code == Code::AlreadyExists)
        return adapt(TRY(store::findImage(m_db, project, fingerprint)), details);
    return row;
}

Result<store::Image> ImageService::copyRemote(const std::string &project, const RemoteImage &wanted, NewImage details, Progress &progress)
{
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    return copyFrom(project, wanted, std::move(details), patient(interrupt.fd()), progress);
}

Result<store::Image> ImageService::copyFrom(const std::string &project, const RemoteImage &wanted, NewImage details,
                                            const servers::Patience &patience, Progress &progress)
{
    if (wanted.protocol == kByUrl) {
        progress.report("asking " + wanted.server);
        const servers::Linked linked = TRY(servers::linkedImage(wanted.server, patience));
        TRY(checkImageServer(m_db, project, linked.origin)); // it may lie elsewhere than the page
        servers::ImageServer server = TRY(servers::ImageServer::at({linked.origin, servers::Protocol::Simplestreams, {}, {}}, patience));
        return TRY_IN(quoted(wanted.server), fetch(project, server, linked.offer, details, progress));
    }
    servers::ImageServer server = TRY(serverOf(wanted, patience));
    progress.report("asking " + wanted.server);
    const servers::Offer offer = TRY_IN(titleOf(wanted.server), wanted.secret.empty() ? server.find(wanted.name) : server.get(wanted.name, wanted.secret));
    // By its fingerprint it is always the same one: there will be nothing newer. In which project it was is not kept.
    const bool byName = wanted.secret.empty() && wanted.ofDefault() && !offer.image.fingerprint.starts_with(wanted.name);
    details.origin = store::ImageOrigin{wanted.server, wanted.protocol.empty() ? "lxd" : wanted.protocol, byName ? wanted.name : "", wanted.certificate,
                                        store::unixMillis()};
    if (details.autoUpdate && !wanted.ofDefault() && !details.cached)
        return Error(Code::Unsupported, "auto_update: images are kept up to date from project default of other servers only");
    if (details.autoUpdate && !byName && !details.cached)
        return Error(Code::Invalid, "auto_update: an image that is asked for by its fingerprint never changes (name its alias)");
    details.autoUpdate = details.autoUpdate && byName;
    return TRY_IN(titleOf(wanted.server), fetch(project, server, offer, details, progress));
}

Result<std::optional<store::Image>> ImageService::knownRemote(const std::string &project, const RemoteImage &wanted)
{
    std::optional<store::Image> none;
    if (!wanted.secret.empty() || !wanted.ofDefault() || TRY(serverConfig()).autoUpdateHours() == 0)
        return none;
    auto row = store::findImageByOrigin(m_db, project, {wanted.server, wanted.protocol.empty() ? "lxd" : wanted.protocol, wanted.name, {}, 0});
    return row ? std::optional(std::move(*row)) : none;
}

Result<store::Image> ImageService::obtainRemote(const std::string &project, const RemoteImage &wanted, Progress &progress)
{
    if (auto row = TRY(knownRemote(project, wanted)))
        return std::move(*row);
    const config::ServerConfig config = TRY(serverConfig());
    NewImage details;
    details.cached = true;
    details.autoUpdate = config.imagesAutoUpdateCached.value_or(true);
    const auto list = config.imageServerList();
    const auto usual = std::ranges::find(list, wanted.server, &config::ImageServerName::url);
    auto resolved = images::resolveImageName(m_paths, wanted.name);
    if (!resolved && usual != list.end()) // "24.04" of the server ubuntu
        resolved = images::resolveImageName(m_paths, usual->name + "/" + wanted.name);
    const bool standsIn = usual != list.end() && resolved;
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    auto fetched = copyFrom(project, wanted, details, standsIn ? hasty(interrupt.fd()) : patient(interrupt.fd()), progress);
    if (fetched || fetched.error().code != Code::Unavailable || !standsIn)
        return fetched;
    if (auto image = findBuilt(project, *resolved))
        return std::move(*image);
    progress.note("image " + quoted(wanted.name) + " is built here from template " + quoted(resolved->templateName) + " (" + fetched.error().message + ")");
    auto built = buildOnce(project, *resolved, {}, progress);
    return built ? std::move(built) : std::move(built.error()).hint("before: " + fetched.error().message);
}

namespace
{

/// What a server may call the image that people call `name`: behind the server's own name ("ubuntu/24.04" is 24.04 of ubuntu), as it stands,
/// or as the template of that name has it.
std::vector<std::string> namesAt(const config::ImageServerName &server, const std::string &name, const images::ResolvedImage *resolved)
{
    std::vector<std::string> names;
    const std::size_t colon = name.find(':');
    const std::string plain = colon == std::string::npos ? name : name.substr(0, colon) + "/" + name.substr(colon + 1);
    if (plain == server.name || plain == server.name + "/")
        names.emplace_back("default");
    else if (plain.starts_with(server.name + "/"))
        names.push_back(plain.substr(server.name.size() + 1));
    else
        names.push_back(plain);
    if (resolved)
        for (const std::string &alias : resolved->aliases) {
            const std::string here = alias.starts_with(server.name + "/") ? alias.substr(server.name.size() + 1) : alias;
            if (std::ranges::find(names, here) == names.end())
                names.push_back(here);
        }
    return names;
}

} // namespace

/// One that was fetched under that name and is kept up to date.
std::optional<store::Image> ImageService::fetchedAs(const std::string &project, const std::string &name, const images::ResolvedImage *resolved,
                                                    const config::ServerConfig &config)
{
    if (config.autoUpdateHours() == 0)
        return std::nullopt;
    for (const config::ImageServerName &each : config.imageServerList())
        for (const std::string &alias : namesAt(each, name, resolved))
            if (auto row = store::findImageByOrigin(m_db, project, {each.url, "simplestreams", alias, {}, 0}))
                return std::move(*row);
    return std::nullopt;
}

/// NotFound: none has it; `tried` then says of each why.
Result<store::Image> ImageService::fromServers(const std::string &project, const std::string &name, const images::ResolvedImage *resolved,
                                               std::string &tried, Progress &progress)
{
    const config::ServerConfig config = TRY(serverConfig());
    const auto list = config.imageServerList();
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    for (const config::ImageServerName &each : list) {
        progress.report("asking image server " + each.name);
        auto server = servers::ImageServer::at({each.url, servers::Protocol::Simplestreams, {}, {}}, hasty(interrupt.fd()));
        if (!server)
            return server.error();
        std::string found;
        const auto offer = server->findFirst(namesAt(each, name, resolved), found);
        if (!offer) {
            if (offer.error().code == Code::Cancelled)
                return offer.error();
            tried += "; image server " + quoted(each.name) + " (" + each.url + "): " + offer.error().message;
            continue;
        }
        NewImage details;
        details.cached = true;
        details.autoUpdate = config.imagesAutoUpdateCached.value_or(true);
        details.origin = store::ImageOrigin{each.url, "simplestreams", found, {}, store::unixMillis()};
        auto row = fetch(project, *server, *offer, details, progress);
        if (row) {
            progress.note("image " + quoted(name) + " is " + found + " of image server " + quoted(each.name) + " (" + each.url + ")" +
                          (tried.empty() ? "" : " (" + tried.substr(2) + ")"));
            return row;
        }
        if (row.error().code == Code::Cancelled || row.error().code == Code::NoSpace)
            return row.error();
        tried += "; image server " + quoted(each.name) + " (" + each.url + "): " + row.error().message;
    }
    return Error(Code::NotFound, "no image server has " + quoted(name));
}

Result<store::Image> ImageService::refresh(const std::string &project, const std::string &given, Progress &progress)
{
    const store::Image old = TRY(store::findImage(m_db, project, given));
    if (!old.origin || old.origin->alias.empty())
        return Error(Code::WrongState, "image " + quoted(old.fingerprint.substr(0, 12)) +
                                           " was not fetched from a server under a name: there is nothing to look for")
            .hint(old.source.starts_with("template:") ? "'lxmgr template build' makes it anew"
                                                      : "'lxmgr image copy <remote>:<alias>' fetches one that can be refreshed");
    const store::ImageOrigin &origin = *old.origin;
    TRY(store::setImageChecked(m_db, old.id, store::unixMillis()));
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    servers::ImageServer server = TRY(serverOf({origin.server, origin.protocol, origin.alias, {}, origin.certificate, {}}, patient(interrupt.fd())));
    const servers::Offer offer = TRY_IN(titleOf(origin.server), server.find(origin.alias));
    if (offer.image.fingerprint == old.fingerprint)
        return old;
    NewImage details;
    details.isPublic = old.isPublic;
    details.cached = old.cached;
    details.autoUpdate = old.autoUpdate;
    details.aliases = old.aliases;
    details.origin = origin;
    details.origin->checkedAt = store::unixMillis();
    store::Image fresh = TRY_IN(titleOf(origin.server), fetch(project, server, offer, details, progress));
    TRY(store::setImageUsed(m_db, fresh.id, std::max(old.lastUsedAt, fresh.lastUsedAt)));
    TRY(store::copyImageProfiles(m_db, old.id, fresh.id));
    TRY(note({fresh.fingerprint}));
    tell("image-refreshed", fresh);
    TRY(remove(project, old.fingerprint));
    return store::findImage(m_db, project, fresh.fingerprint);
}

std::optional<std::time_t> ImageService::nextScheduled()
{
    const auto config = serverConfig();
    if (!config)
        return std::nullopt;
    std::optional<std::time_t> next;
    const auto earlier = [&](std::int64_t millis) {
        const auto at = static_cast<std::time_t>(millis / 1000) + 1;
        next = std::min(next.value_or(at), at);
    };
    if (const auto list = store::listAutoUpdated(m_db); list && !list->empty() && config->autoUpdateHours() > 0)
        earlier(list->front().origin->checkedAt + std::int64_t{config->autoUpdateHours()} * 3'600'000);
    if (const auto list = store::listCached(m_db); list && !list->empty() && config->cacheDays() > 0)
        earlier(std::max(list->front().lastUsedAt, list->front().uploadedAt) + std::int64_t{config->cacheDays()} * 86'400'000);
    return next;
}

void ImageService::runScheduled(std::time_t now)
{
    const auto config = serverConfig();
    if (!config)
        return log::error("images: " + config.error().message + ", ignoring");
    const std::int64_t millis = std::int64_t{now} * 1000;
    const auto told = [](const store::Image &image, const Error &error) {
        log::warning("image '" + image.fingerprint.substr(0, 12) + "': " + error.message + ", ignoring");
    };
    if (const Status dropped = m_files.dropPartial(now - kKeepPartialSeconds); !dropped)
        log::warning("images: " + dropped.error().message + ", ignoring");
    for (const store::Image &image : store::listCached(m_db).value_or(std::vector<store::Image>{}))
        if (config->cacheDays() > 0 && std::max(image.lastUsedAt, image.uploadedAt) + std::int64_t{config->cacheDays()} * 86'400'000 <= millis)
            if (const Status removed = remove(image.project, image.fingerprint); !removed)
                told(image, removed.error());
    for (const store::Image &image : store::listAutoUpdated(m_db).value_or(std::vector<store::Image>{})) {
        if (config->autoUpdateHours() == 0 || image.origin->checkedAt + std::int64_t{config->autoUpdateHours()} * 3'600'000 > millis)
            continue;
        // Asked for again only when it is due the next time, however this goes.
        if (const Status checked = store::setImageChecked(m_db, image.id, millis); !checked)
            return told(image, checked.error());
        const auto fresh = refresh(image.project, image.fingerprint, Progress::none());
        follow(m_db, WarningType::ImageUpdateFailure, about(image), fresh ? Status() : fresh.error(), "image " + quoted(image.fingerprint.substr(0, 12)));
    }
}

} // namespace lxmgr::instances
