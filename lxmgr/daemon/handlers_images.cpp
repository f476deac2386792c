// Images, their aliases, and templates.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"

#include "api/envelope.h"
#include "api/filter.h"
#include "api/images.h"
#include "api/operations.h"
#include "api/templates.h"
#include "api/types.h"
#include "base/text.h"
#include "http/multipart.h"
#include "images/template.h"
#include "kernel/files.h"

#include <algorithm>
#include <set>
#include <sys/mman.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{

/// To who may not use the project, which may share another's images, only public ones are there.
bool visible(const Request &request, const store::Image &image) { return image.isPublic || request.caller.mayUse(request.project()); }

/// Whose secret "?secret=" is, if it is one of this image's that nobody has used.
std::shared_ptr<Task> secretOf(Context &context, const Request &request, const store::Image &row);

Result<store::Image> find(Context &context, const Request &request)
{
    auto image = store::findImage(context.db, request.project(), request.param("fingerprint"));
    const bool shown = image && (visible(request, *image) || secretOf(context, request, *image));
    // Nor how many begin as he guesses.
    const bool hidden = !image && image.error().code == Code::Invalid && !request.caller.mayUse(request.project());
    if ((!image && image.error().code == Code::NotFound) || hidden || (image && !shown))
        return Error(Code::NotFound, "Image not found");
    return image;
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const api::Filter filter = TRY(api::Filter::parse(request.query.value("filter")));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    const bool all = request.query.flag("all-projects");
    for (const store::Image &row : TRY(store::listImages(context.db, all ? "" : request.project()))) {
        const bool isShown = all ? row.isPublic || request.caller.mayUse(row.project) : visible(request, row);
        if (row.status != store::ImageStatus::Ready || !isShown)
            continue;
        const api::Image image = toApi(row);
        if (!filter.matches(image))
            continue;
        if (request.recursion() == 0)
            writer.string(urlOf("images", row.fingerprint, row.project));
        else
            writeJson(writer, image);
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

std::string etagOfImage(const store::Image &row)
{
    api::Image writable;
    writable.properties = row.properties;
    writable.isPublic = row.isPublic;
    writable.autoUpdate = row.autoUpdate;
    writable.expiresAt = timeOf(row.expiresAt);
    writable.profiles = row.profiles;
    return api::etagOf(api::toJson(writable));
}

bool isSecretOf(const Task &task, const store::Image &row)
{
    const api::Operation operation = task.snapshot();
    if (operation.operationClass != "token" || task.ended() || task.project() != row.project || !operation.resources)
        return false;
    const auto images = operation.resources->find("images");
    return images != operation.resources->end() && images->second == std::vector<std::string>{urlOf("images", row.fingerprint, row.project)};
}

std::shared_ptr<Task> secretOf(Context &context, const Request &request, const store::Image &row)
{
    const std::string given(request.query.value("secret"));
    if (given.empty())
        return nullptr;
    for (const auto &task : context.operations.list())
        if (isSecretOf(*task, row) && task->knows(given))
            return task;
    return nullptr;
}

/// A "?secret=" must be one that POST .../secret gave for this image, or it is as if there were no such image. Looking at the image
/// does not use it up, fetching its files does.
enum class Secret { Kept, UsedUp };
Status checkSecret(Context &context, const Request &request, const store::Image &row, Secret after)
{
    if (request.query.value("secret").empty())
        return {};
    const auto task = secretOf(context, request, row);
    if (!task || (after == Secret::UsedUp && !task->useUp()))
        return Error(Code::NotFound, "Image not found");
    return {};
}

Status secret(Context &context, Request &request, const Responder &responder)
{
    const store::Image row = TRY(find(context, request));
    TaskOptions options;
    options.project = row.project;
    options.resources = {{"images", {urlOf("images", row.fingerprint, row.project)}}};
    const auto task = TRY(newToken(context, std::move(options)));
    responder.async(task->snapshot(), row.project);
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const store::Image row = TRY(find(context, request));
    TRY(checkSecret(context, request, row, Secret::Kept));
    responder.sync(api::toJson(toApi(row)), etagOfImage(row));
    return {};
}

Status change(Context &context, Request &request, const Responder &responder)
{
    store::Image row = TRY(find(context, request));
    TRY(api::checkEtag(request.ifMatch(), etagOfImage(row)));
    const auto put = TRY(request.json<api::ImagePut>());
    const bool replace = request.id() == api::RouteId::ImagePut;
    if (put.isPublic || replace)
        row.isPublic = put.isPublic.value_or(false);
    if (put.autoUpdate || replace)
        row.autoUpdate = put.autoUpdate.value_or(false);
    if (row.autoUpdate && (!row.origin || row.origin->alias.empty()))
        return Error(Code::Invalid, "auto_update: image " + quoted(row.fingerprint.substr(0, 12)) + " was not fetched from a server under a name");
    if (put.expiresAt)
        row.expiresAt = put.expiresAt->isSet() ? put.expiresAt->seconds * 1000 : 0;
    if (replace)
        row.properties = put.properties.value_or(StringMap{});
    else if (put.properties)
        for (const auto &[name, value] : *put.properties)
            row.properties[name] = value;
    if (put.profiles || replace)
        row.profiles = TRY(imageProfiles(context, request, put.profiles.value_or(std::vector<std::string>{})));
    TRY(context.db.transaction([&]() -> Status {
        TRY(store::setImageProfiles(context.db, row.id, request.project(), row.profiles));
        return store::updateImage(context.db, row);
    }));
    TRY(context.images.note({row.fingerprint}));
    context.schedulesChanged();
    responder.sync();
    return {};
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const store::Image row = TRY(find(context, request));
    TaskOptions options;
    options.project = row.project;
    options.description = "Deleting image";
    options.resources = {{"images", {urlOf("images", row.fingerprint, row.project)}}};
    const auto task = context.operations.run(std::move(options), [&context, project = row.project, fingerprint = row.fingerprint](Task &) {
        return context.images.remove(project, fingerprint);
    });
    responder.async(task->snapshot(), row.project);
    return {};
}

/// Everything an upload says of its image beside the bytes.
Result<instances::NewImage> detailsOf(const Request &request)
{
    instances::NewImage details;
    details.project = request.project();
    const auto header = [&](std::string_view name) {
        const std::string *value = request.familyHeader(name);
        return value ? *value : std::string();
    };
    details.filename = header("filename");
    details.isPublic = header("public") == "true" || header("public") == "1";
    if (const std::string properties = header("properties"); !properties.empty())
        for (const auto &[name, value] : TRY_IN("header properties", http::parseQuery(properties)))
            details.properties[name] = value;
    if (const std::string aliases = header("aliases"); !aliases.empty())
        for (const auto &[name, value] : TRY_IN("header aliases", http::parseQuery(aliases)))
            details.aliases.push_back(name == "alias" ? value : name);
    if (const std::string profiles = header("profiles"); !profiles.empty())
        for (const auto &[name, value] : TRY_IN("header profiles", http::parseQuery(profiles)))
            details.profiles.push_back(name == "profile" ? value : name);
    return details;
}

Status feed(images::Upload &upload, const Fd &from, std::uint64_t offset, std::uint64_t size)
{
    std::vector<std::byte> buffer(1 << 20);
    while (size > 0) {
        const ssize_t got = ::pread(from.get(), buffer.data(), std::min<std::uint64_t>(buffer.size(), size), static_cast<off_t>(offset));
        if (got < 0)
            return Error::fromErrno(errno, "read the upload");
        if (got == 0)
            return Error(Code::Invalid, "the upload ended early");
        TRY(upload.write({buffer.data(), static_cast<std::size_t>(got)}));
        offset += static_cast<std::uint64_t>(got);
        size -= static_cast<std::uint64_t>(got);
    }
    return {};
}

struct Received {
    std::string contentType;
    std::string body;
    Fd file;
    std::uint64_t size = 0;
    std::string expected;
};

Result<images::Image> take(Context &context, Received &received, Task &task)
{
    images::Upload upload = TRY(context.images.files().newUpload(Bytes{received.size}));
    images::ImportOptions options;
    options.expectedFingerprint = received.expected;
    options.progress = &task;
    if (!received.file) {
        TRY(upload.write(std::as_bytes(std::span(received.body))));
    } else if (received.contentType.starts_with("multipart/form-data")) {
        const std::string boundary = TRY(http::multipartBoundary(received.contentType));
        const std::vector<http::Part> parts = TRY(http::findParts(received.file, received.size, boundary));
        if (parts.size() != 2 || parts[0].name != "metadata" || !parts[1].name.starts_with("rootfs"))
            return Error(Code::Invalid, "a split image has two parts, metadata and rootfs");
        TRY(feed(upload, received.file, parts[0].offset, parts[0].size));
        TRY(upload.nextPart());
        TRY(feed(upload, received.file, parts[1].offset, parts[1].size));
    } else {
        TRY(feed(upload, received.file, 0, received.size));
    }
    return context.images.files().commit(std::move(upload), options);
}

Status checkAliasName(const std::string &name)
{
    const bool good = !name.empty() && name.size() <= 128 && isValidUtf8(name) &&
                      std::ranges::none_of(name, [](unsigned char c) { return c < 0x21 || c == 0x7F || c == '?' || c == '#'; });
    if (!good)
        return Error(Code::Invalid, "alias " + quoted(name) + " is not a name (1 to 128 characters without spaces)");
    return {};
}

/// "web1" or "web1/snap0".
Result<instances::PublishRequest> publishRequest(Context &context, const Request &request, const api::ImagesPost &post)
{
    const std::string &name = post.source.name;
    const std::size_t slash = name.find('/');
    const bool ofSnapshot = slash != std::string::npos;
    if (ofSnapshot != (post.source.type == "snapshot"))
        return Error(Code::Invalid, "source " + quoted(name) + " is not the name of " +
                                        (ofSnapshot ? "an instance" : "a snapshot (<instance>/<snapshot>)"));
    if (post.autoUpdate)
        return Error(Code::Unsupported, "auto_update: an image made of an instance has nowhere to be updated from");
    TRY(checkProject(request, post.source.project));
    instances::PublishRequest wanted;
    wanted.source = {post.source.project.empty() ? request.project() : post.source.project, name.substr(0, slash)};
    if (ofSnapshot) {
        wanted.snapshot = name.substr(slash + 1);
        (void)TRY(context.manager.snapshot(wanted.source, wanted.snapshot));
    } else {
        (void)TRY(context.manager.describe(wanted.source));
    }
    if (!post.compressionAlgorithm.empty())
        wanted.compression = TRY(images::parseCompression(post.compressionAlgorithm));
    wanted.properties = post.properties.value_or(StringMap{});
    wanted.expiresAt = post.expiresAt && post.expiresAt->isSet() ? post.expiresAt->seconds * 1000 : 0;
    wanted.image.project = request.project();
    wanted.image.filename = post.filename;
    wanted.image.isPublic = post.isPublic;
    wanted.image.aliases = TRY(newAliases(context, request, post.aliases));
    wanted.image.profiles = TRY(imageProfiles(context, request, post.profiles.value_or(std::vector<std::string>{})));
    return wanted;
}

Status publish(Context &context, const Request &request, const api::ImagesPost &post, const Responder &responder)
{
    instances::PublishRequest wanted = TRY(publishRequest(context, request, post));
    TaskOptions options;
    options.project = request.project();
    options.description = "Publishing instance";
    options.mayCancel = true;
    options.progressKey = "create_image_from_container_pack_progress";
    options.resources = instanceResources(wanted.source);
    const auto task = context.operations.run(std::move(options), [&context, wanted = std::move(wanted)](Task &running) -> Status {
        const store::Image row = TRY(context.manager.publish(wanted, running));
        running.setMetadata("fingerprint", row.fingerprint);
        running.setMetadata("size", row.size);
        return {};
    });
    responder.async(task->snapshot(), request.project());
    return {};
}

/// Of what a token keeps for the upload.
std::vector<std::string> textsIn(const api::Json &asked, std::string_view key)
{
    std::vector<std::string> texts;
    if (const api::Json *list = asked.find(key); list && list->asArray())
        for (const api::Json &text : *list->asArray())
            texts.push_back(text.asString() ? *text.asString() : std::string());
    return texts;
}

Status create(Context &context, Request &request, const Responder &responder)
{
    const std::string contentType(request.header("Content-Type"));
    const bool pushed = request.familyHeader("secret") != nullptr; // whoever shows a secret uploads that image, and does nothing else
    if (!pushed && (contentType.starts_with("application/json") || (contentType.empty() && request.body.starts_with('{')))) {
        const auto post = TRY(request.json<api::ImagesPost>());
        if (post.source.mode == "push")
            return expectPush(context, request, post, responder);
        if (post.source.type == "instance" || post.source.type == "container" || post.source.type == "snapshot")
            return publish(context, request, post, responder);
        if (post.source.type == "image" || post.source.type == "url")
            return copyImage(context, request, post, responder);
        return Error(Code::Unsupported, "image source " + quoted(post.source.type) +
                                            " is not supported by this version (image, url, instance, snapshot; or upload the image)");
    }
    instances::NewImage details = TRY(detailsOf(request));
    TaskOptions options;
    if (pushed) {
        const auto token = pushTokenOf(context, request);
        if (!token || !token->useUp())
            return Error(Code::Forbidden, "not authorized");
        const api::Json asked = token->snapshot().metadata;
        details.isPublic = asked.find("public") && asked.find("public")->asBool() && *asked.find("public")->asBool();
        details.aliases = textsIn(asked, "aliases");
        details.profiles = textsIn(asked, "profiles");
        if (const api::Json *properties = asked.find("properties"); properties && properties->asObject())
            for (const auto &[name, value] : *properties->asObject())
                details.properties[name] = value.asString() ? *value.asString() : std::string();
        options.metadata = api::Json::object();
        options.metadata["secret"] = newSecret(); // for who pushes to wait for the end
    } else {
        TRY(imageProfiles(context, request, details.profiles));
    }
    auto received = std::make_shared<Received>();
    received->contentType = contentType;
    if (const std::string *expected = request.familyHeader("fingerprint"))
        received->expected = *expected;
    // A small form is parsed in a file like a big one.
    if (!request.bodyFile && contentType.starts_with("multipart/")) {
        request.bodyFile = Fd(::memfd_create("upload", MFD_CLOEXEC));
        TRY(files::writeAll(request.bodyFile, request.body));
        request.bodySize = request.body.size();
    }
    received->size = request.bodyFile ? request.bodySize : request.body.size();
    received->body = std::move(request.body);
    received->file = std::move(request.bodyFile);
    if (received->size == 0)
        return Error(Code::Invalid, "the upload is empty");
    options.project = details.project;
    options.description = "Downloading image";
    options.progressKey = "create_image_progress";
    const auto task = context.operations.run(std::move(options), [&context, received, details](Task &running) -> Status {
        const images::Image image = TRY(take(context, *received, running));
        if (store::findImage(context.db, details.project, image.fingerprint))
            return Error(Code::AlreadyExists, "Image with same fingerprint already exists: " + image.fingerprint.substr(0, 12));
        const store::Image row = TRY(context.images.add(image, details));
        running.setMetadata("fingerprint", row.fingerprint);
        running.setMetadata("size", row.size);
        return {};
    });
    responder.async(task->snapshot(), details.project);
    return {};
}

/// Where "Range: bytes=5-" begins: the rest of a download that was cut off. nullopt: nothing of that kind is asked for.
std::optional<std::uint64_t> rangeStart(const Request &request)
{
    const std::string_view range = request.header("Range");
    if (!range.starts_with("bytes=") || !range.ends_with('-'))
        return std::nullopt;
    const auto start = parseUnsigned(range.substr(6, range.size() - 7));
    return start ? std::optional(*start) : std::nullopt;
}

/// All of it, or from `start`.
void sendFrom(std::uint64_t start, const Responder &responder, http::Headers headers, std::vector<BodyPart> parts)
{
    const auto sizeOf = [](const BodyPart &part) {
        return std::holds_alternative<std::string>(part) ? std::get<std::string>(part).size() : std::get<FileRange>(part).size;
    };
    std::uint64_t size = 0;
    for (const BodyPart &part : parts)
        size += sizeOf(part);
    if (start > 0 && start >= size) {
        responder.raw(416, {{"Content-Range", "bytes */" + std::to_string(size)}}, {});
        return;
    }
    if (start > 0)
        headers.add("Content-Range", "bytes " + std::to_string(start) + "-" + std::to_string(size - 1) + "/" + std::to_string(size));
    std::uint64_t over = start;
    for (BodyPart &part : parts) {
        const std::uint64_t skipped = std::min(over, sizeOf(part));
        over -= skipped;
        if (auto *text = std::get_if<std::string>(&part))
            text->erase(0, skipped);
        else
            std::get<FileRange>(part).offset += skipped, std::get<FileRange>(part).size -= skipped;
    }
    responder.raw(start > 0 ? 206 : 200, std::move(headers), std::move(parts));
}

Status exportImage(Context &context, Request &request, const Responder &responder)
{
    const store::Image row = TRY(find(context, request));
    TRY(checkSecret(context, request, row, Secret::UsedUp));
    std::vector<images::ExportFile> files = TRY(context.images.files().exportFiles(row.fingerprint));
    std::vector<BodyPart> parts;
    if (files.size() == 1) {
        parts.emplace_back(FileRange{std::move(files[0].file), 0, files[0].size.count});
        sendFrom(rangeStart(request).value_or(0), responder,
                 {{"Content-Type", "application/octet-stream"}, {"Content-Disposition", "inline;filename=" + files[0].filename}}, std::move(parts));
        return {};
    }
    // The same bytes every time, so that a download that was cut off goes on within the form. Nobody makes an image in which its own
    // hash stands, so this is no boundary that its content can forge.
    const std::string &boundary = row.fingerprint;
    std::string layout; // all but the files
    for (images::ExportFile &file : files) {
        const std::string head = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + file.part + "\"; filename=\"" + file.filename +
                                 "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
        layout += head;
        parts.emplace_back(head);
        parts.emplace_back(FileRange{std::move(file.file), 0, file.size.count});
        parts.emplace_back(std::string("\r\n"));
    }
    parts.emplace_back("--" + boundary + "--\r\n");
    // From the middle only for who shows that he has the beginning (RFC 9110, 13.1.5): others count within the files.
    const std::string etag = api::etagOf(layout);
    const std::uint64_t start = request.header("If-Range") == etag ? rangeStart(request).value_or(0) : 0;
    sendFrom(start, responder, {{"Content-Type", "multipart/form-data; boundary=" + boundary}, {"ETag", etag}, {"Accept-Ranges", "bytes"}}, std::move(parts));
    return {};
}

// --- aliases ---

api::ImageAliasEntry toApi(const store::ImageAlias &row) { return {row.name, row.description, row.fingerprint, "container"}; }

Result<store::ImageAlias> findAlias(Context &context, const Request &request)
{
    auto alias = store::findAlias(context.db, request.project(), request.param("name"));
    const Error kNone(Code::NotFound, "Image alias not found");
    if (!alias && alias.error().code == Code::NotFound)
        return kNone;
    if (alias && !visible(request, TRY(store::findImage(context.db, alias->project, alias->fingerprint))))
        return kNone;
    return alias;
}

Status aliasList(Context &context, Request &request, const Responder &responder)
{
    const auto rows = TRY(store::listAliases(context.db, request.project()));
    const auto url = [](const store::ImageAlias &row) { return urlOf("images/aliases", row.name, row.project); };
    sendList(request, responder, rows, url, [](const store::ImageAlias &row) { return toApi(row); });
    return {};
}

Status aliasCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::ImageAliasEntry>());
    TRY(checkAliasName(post.name));
    const store::Image image = TRY(store::findImage(context.db, request.project(), post.target));
    store::ImageAlias row;
    row.project = request.project();
    row.name = post.name;
    row.description = post.description;
    row.fingerprint = image.fingerprint;
    TRY(store::insertAlias(context.db, row));
    TRY(context.images.note({row.fingerprint}));
    responder.created(urlOf("images/aliases", row.name, row.project));
    return {};
}

Status aliasGet(Context &context, Request &request, const Responder &responder)
{
    const std::string json = api::toJson(toApi(TRY(findAlias(context, request))));
    responder.sync(json, api::etagOf(json));
    return {};
}

Status aliasChange(Context &context, Request &request, const Responder &responder)
{
    store::ImageAlias row = TRY(findAlias(context, request));
    TRY(api::checkEtag(request.ifMatch(), api::etagOf(api::toJson(toApi(row)))));
    const auto put = TRY(request.json<api::ImageAliasPut>());
    if (put.description || request.id() == api::RouteId::ImageAliasPut)
        row.description = put.description.value_or("");
    const std::string before = row.fingerprint;
    if (put.target)
        row.fingerprint = TRY(store::findImage(context.db, row.project, *put.target)).fingerprint;
    TRY(store::updateAlias(context.db, row));
    TRY(context.images.note({before, row.fingerprint}));
    responder.sync();
    return {};
}

Status aliasRename(Context &context, Request &request, const Responder &responder)
{
    const store::ImageAlias row = TRY(findAlias(context, request));
    const auto post = TRY(request.json<api::RenamePost>());
    TRY(checkAliasName(post.name));
    TRY(store::renameAlias(context.db, row.id, post.name));
    TRY(context.images.note({row.fingerprint}));
    responder.created(urlOf("images/aliases", post.name, row.project));
    return {};
}

Status aliasDelete(Context &context, Request &request, const Responder &responder)
{
    const store::ImageAlias row = TRY(findAlias(context, request));
    TRY(store::deleteAlias(context.db, row.project, row.name));
    TRY(context.images.note({row.fingerprint}));
    responder.sync();
    return {};
}

// --- templates ---

std::string releaseText(const images::TemplateRelease &release)
{
    return release.version.empty() ? release.name : release.version + " (" + release.name + ")";
}

api::Template toApi(const images::TemplateSummary &summary)
{
    api::Template out;
    out.name = summary.name;
    out.description = summary.problem.empty() ? summary.title : summary.problem;
    for (const images::TemplateRelease &release : summary.releases)
        out.releases.push_back(releaseText(release));
    out.defaultRelease = summary.defaultRelease;
    out.source = summary.file;
    return out;
}

Status templateList(Context &context, Request &, const Responder &responder)
{
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const images::TemplateSummary &summary : TRY(images::listTemplates(context.paths)))
        writeJson(writer, toApi(summary));
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status templateGet(Context &context, Request &request, const Responder &responder)
{
    const std::string name = request.param("name");
    const auto all = TRY(images::listTemplates(context.paths));
    const auto found = std::ranges::find(all, name, &images::TemplateSummary::name);
    if (found == all.end())
        return Error(Code::NotFound, "Template not found: " + quoted(name));
    api::Template out = toApi(*found);
    out.content = TRY(files::read(found->file, 1 << 20));
    responder.sync(out);
    return {};
}

Status templateBuild(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::TemplateBuildPost>());
    const instances::BuildChoice choice = TRY(instances::BuildChoice::from(post.options));
    const std::string name = request.param("name") + (post.release.empty() ? "" : "/" + post.release);
    TRY(images::resolveImageName(context.paths, name));
    TaskOptions options;
    options.project = request.project();
    options.description = "Building image";
    options.mayCancel = true;
    options.progressKey = "template_build_progress";
    const auto task = context.operations.run(
        std::move(options), [&context, project = request.project(), name, choice, aliases = post.aliases](Task &running) -> Status {
            const store::Image image = TRY(context.images.build(project, name, choice, running));
            for (const api::ImageAlias &alias : aliases) {
                store::ImageAlias row;
                row.project = project;
                row.name = alias.name;
                row.description = alias.description;
                row.fingerprint = image.fingerprint;
                TRY(store::insertAlias(context.db, row));
            }
            TRY(context.images.note({image.fingerprint}));
            running.setMetadata("fingerprint", image.fingerprint);
            running.setMetadata("size", image.size);
            return {};
        });
    responder.async(task->snapshot(), request.project());
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::ImageList, &list},
    {api::RouteId::ImageCreate, &create},
    {api::RouteId::ImageGet, &get},
    {api::RouteId::ImagePut, &change},
    {api::RouteId::ImagePatch, &change},
    {api::RouteId::ImageDelete, &remove},
    {api::RouteId::ImageExport, &exportImage},
    {api::RouteId::ImageSecret, &secret},
    {api::RouteId::ImageAliasList, &aliasList},
    {api::RouteId::ImageAliasCreate, &aliasCreate},
    {api::RouteId::ImageAliasGet, &aliasGet},
    {api::RouteId::ImageAliasPut, &aliasChange},
    {api::RouteId::ImageAliasPatch, &aliasChange},
    {api::RouteId::ImageAliasPost, &aliasRename},
    {api::RouteId::ImageAliasDelete, &aliasDelete},
    {api::RouteId::TemplateList, &templateList},
    {api::RouteId::TemplateGet, &templateGet},
    {api::RouteId::TemplateBuild, &templateBuild},
};

} // namespace

Result<std::vector<std::string>> newAliases(Context &context, const Request &request, const std::vector<api::ImageAlias> &aliases)
{
    std::vector<std::string> names;
    for (const api::ImageAlias &alias : aliases) {
        TRY(checkAliasName(alias.name));
        if (store::findAlias(context.db, request.project(), alias.name))
            return Error(Code::AlreadyExists, "Alias already exists: " + quoted(alias.name));
        names.push_back(alias.name);
    }
    return names;
}

Result<std::vector<std::string>> imageProfiles(Context &context, const Request &request, const std::vector<std::string> &profiles)
{
    std::set<std::string_view> names;
    for (const std::string &name : profiles) {
        TRY(store::findProfile(context.db, request.project(), name));
        if (!names.insert(name).second)
            return Error(Code::Invalid, "profiles: " + quoted(name) + " is given twice");
    }
    return profiles;
}

std::span<const HandlerRow> imageHandlers() { return kRows; }

} // namespace lxmgr::daemon
