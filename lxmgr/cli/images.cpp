// image: list, info, import, export, delete and aliases.
#include "api/images.h"
#include "api/operations.h"
#include "api/types.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/image_source.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "client/multipart.h"
#include "http/target.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

using api::Image;
using api::ImageAliasEntry;

std::string firstAlias(const Image &image)
{
    if (image.aliases.empty())
        return {};
    const std::size_t more = image.aliases.size() - 1;
    return image.aliases.front().name + (more > 0 ? " (" + std::to_string(more) + " more)" : "");
}

std::string allAliases(const Image &image)
{
    std::string text;
    for (const api::ImageAlias &alias : image.aliases)
        text.append(text.empty() ? "" : "\n").append(alias.name);
    return text;
}

std::string property(const Image &image, const std::string &name)
{
    const auto found = image.properties.find(name);
    return found == image.properties.end() ? std::string() : found->second;
}

// clang-format off
constexpr Column<Image> kImageColumns[] = {
    {'l', "ALIAS", "Its first name, and how many more it has.", &firstAlias},
    {'L', "ALIASES", "All its names.", &allAliases},
    {'f', "FINGERPRINT", "The beginning of its SHA-256, enough to name it.", [](const Image &i) { return i.fingerprint.substr(0, 12); }},
    {'F', "FINGERPRINT", "Its SHA-256.", [](const Image &i) { return i.fingerprint; }},
    {'p', "PUBLIC", "Whether anybody may take it.", [](const Image &i) { return lower(yesNo(i.isPublic)); }},
    {'d', "DESCRIPTION", "What is in it.", [](const Image &i) { return property(i, "description"); }},
    {'a', "ARCHITECTURE", "For which processor.", [](const Image &i) { return i.architecture; }},
    {'t', "TYPE", "CONTAINER.", [](const Image &i) { return upper(i.type); }},
    {'s', "SIZE", "Of its file.", [](const Image &i) { return sizeText(i.size); }},
    {'u', "UPLOAD DATE", "When it came.", [](const Image &i) { return dateText(i.uploadedAt); }},
};
constexpr std::string_view kImageStandard = "lfpdatsu";

constexpr Column<ImageAliasEntry> kAliasColumns[] = {
    {'a', "ALIAS", "The name.", [](const ImageAliasEntry &a) { return a.name; }},
    {'f', "FINGERPRINT", "The image it stands for.", [](const ImageAliasEntry &a) { return a.target.substr(0, 12); }},
    {'t', "TYPE", "CONTAINER.", [](const ImageAliasEntry &a) { return upper(a.type); }},
    {'d', "DESCRIPTION", "What it is for.", [](const ImageAliasEntry &a) { return a.description; }},
};
constexpr std::string_view kAliasStandard = "aftd";
// clang-format on

std::string aliasPath(const std::string &alias) { return client::path("/1.0/images/aliases", {alias}); }

Result<std::string> fingerprintOf(Context &context, const std::string &image) { return cli::fingerprintOf(context.client(), image); }

/// Whether the remote in use is one that we read ourselves.
Result<bool> ofImageServer(Context &context)
{
    return context.remote() != kLocalRemote && TRY(TRY(context.remotes())->get(context.remote())).isImageServer();
}

bool passes(const Image &image, const std::string &filter)
{
    const std::size_t equals = filter.find('=');
    if (equals == std::string::npos)
        return image.fingerprint.starts_with(filter) ||
               std::ranges::any_of(image.aliases,
                                   [&](const api::ImageAlias &alias) { return alias.name.starts_with(filter); });
    const std::string key = filter.substr(0, equals);
    const std::string value = lower(filter.substr(equals + 1));
    if (key == "type" || key == "architecture" || key == "fingerprint")
        return lower(key == "type"           ? image.type
                     : key == "architecture" ? image.architecture
                                             : image.fingerprint) == value;
    if (key == "public")
        return yesNo(image.isPublic) == yesNo(value == "true" || value == "yes");
    return lower(property(image, key)) == value;
}

/// The elements of a JSON list whose objects pass.
template <class T, class Filter>
Result<std::string> narrowed(const std::string &metadata, const std::vector<std::string> &filters, Filter filter)
{
    if (filters.empty())
        return metadata;
    const api::Json all = TRY(client::Client::parse<api::Json>(metadata));
    const std::vector<T> objects = TRY(client::Client::parse<std::vector<T>>(metadata));
    api::Json kept = api::Json::array();
    for (std::size_t i = 0; i < objects.size(); ++i)
        if (std::ranges::all_of(filters, [&](const std::string &text) { return filter(objects[i], text); }))
            kept.append((*all.asArray())[i]);
    return kept.dump();
}

std::string describe(const Image &image)
{
    std::string text;
    const auto line = [&](std::string_view name, std::string_view value) {
        text.append(name).append(":").append(value.empty() ? "" : " ").append(escaped(value)).append("\n");
    };
    const auto listed = [&](std::string_view title, const std::vector<std::string> &items) {
        if (!items.empty())
            line(title, {});
        for (const std::string &item : items)
            text.append("    - ").append(escaped(item)).append("\n");
    };
    line("Fingerprint", image.fingerprint);
    line("Size", sizeText(image.size));
    line("Architecture", image.architecture);
    line("Type", image.type);
    line("Public", lower(yesNo(image.isPublic)));
    line("Timestamps", {});
    for (const auto &[name, time] : {
             std::pair("    Created", image.createdAt),
             {"    Uploaded",  image.uploadedAt},
             {"    Expires",   image.expiresAt },
             {"    Last used", image.lastUsedAt}
    })
        line(name, time.isSet() ? dateText(time) : "never");
    line("Properties", {});
    for (const auto &[name, value] : image.properties)
        line("    " + name, value);
    std::vector<std::string> aliases;
    for (const api::ImageAlias &alias : image.aliases)
        aliases.push_back(alias.name);
    listed("Aliases", aliases);
    line("Cached", lower(yesNo(image.cached)));
    line("Auto update", image.autoUpdate ? "enabled" : "disabled");
    if (const auto &source = image.updateSource) {
        line("Source", {});
        line("    Server", source->server);
        line("    Protocol", source->protocol);
        line("    Alias", source->alias);
    }
    listed("Profiles", image.profiles);
    return text;
}

// ---- import

struct ImportFile {
    std::string path;
    Fd fd;
    std::uint64_t size = 0;
};

Result<ImportFile> openImport(const std::string &path)
{
    ImportFile file{path, Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), 0};
    if (!file.fd)
        return Error::fromErrno(errno, "open", path).as(errno == ENOENT ? Code::NotFound : Code::Internal);
    struct stat info{};
    if (::fstat(file.fd.get(), &info) < 0)
        return Error::fromErrno(errno, "stat", path);
    if (S_ISDIR(info.st_mode))
        return Error(Code::Unsupported, quoted(path) + " is a folder")
            .hint("pack it: tar -C " + path + " --numeric-owner -caf image.tar.zst .");
    if (!S_ISREG(info.st_mode))
        return Error(Code::Unsupported, quoted(path) + " is no regular file");
    file.size = static_cast<std::uint64_t>(info.st_size);
    return file;
}

std::string fileName(const std::string &path) { return path.substr(path.rfind('/') + 1); }

/// The upload: one file as it is, two as the parts "metadata" and "rootfs" of a form.
Result<client::Request> uploadOf(Context &context, std::vector<ImportFile> &files)
{
    client::Request request;
    request.method = "POST";
    request.target = context.client().target("/1.0/images");
    request.headers.set("X-LXD-filename", fileName(files[0].path));
    if (files.size() == 1) {
        request.headers.set("Content-Type", "application/octet-stream");
        request.source = client::sourceOf(files[0].fd.get(), files[0].path);
        request.sourceSize = files[0].size;
        return request;
    }
    std::vector<client::FormPart> parts;
    static constexpr const char *kNames[] = {"metadata", "rootfs"};
    for (std::size_t i = 0; i < files.size(); ++i)
        parts.push_back({kNames[i], fileName(files[i].path), client::sourceOf(files[i].fd.get(), files[i].path), files[i].size});
    client::Form form = client::makeForm(std::move(parts));
    request.headers.set("Content-Type", form.contentType);
    request.source = std::move(form.source);
    request.sourceSize = form.size;
    return request;
}

Status addAlias(Context &context, const std::string &alias, const std::string &fingerprint,
                const std::string &description)
{
    const ImageAliasEntry entry{alias, description, fingerprint, "container"};
    TRY(context.client().request("POST", "/1.0/images/aliases", api::toJson(entry)));
    return {};
}

/// An image by its address: the server fetches it.
Result<int> importUrl(Context &context, const Arguments &arguments)
{
    api::ImagesPost post;
    post.source.type = "url";
    post.source.mode = "pull";
    post.source.url = arguments.word(0);
    post.isPublic = arguments.has("public");
    post.properties.emplace();
    for (std::size_t i = 1; i < arguments.words.size(); ++i) {
        const KeyValue pair = TRY(keyValue(arguments.words[i]));
        (*post.properties)[pair.key] = pair.value;
    }
    for (const std::string &alias : arguments.values("alias"))
        post.aliases.push_back({alias, {}});
    if (arguments.has("profile"))
        post.profiles = arguments.values("profile");
    const api::Operation done = TRY(runWithProgress(context, "POST", "/1.0/images", api::toJson(post), "Importing"));
    context.say("Image imported with fingerprint: " + done.metadata.text("fingerprint"));
    return 0;
}

// ---- export

/// Opens files beside a name the user gave or in a folder, as the daemon names them.
class ExportTarget
{
public:
    ExportTarget(std::string target, std::string fingerprint)
        : m_target(std::move(target)), m_fingerprint(std::move(fingerprint))
    {
    }

    /// `suggested` is the daemon's file name, `part` what follows the user's own ("" or ".root").
    Result<client::Sink> open(const std::string &suggested, const std::string &part)
    {
        if (m_target == "-") {
            if (!part.empty())
                return Error(Code::Unsupported, "this image has two files: give a target folder");
            m_files.emplace_back(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
            return sink();
        }
        struct stat info{};
        const bool folder = m_target.empty() || (::stat(m_target.c_str(), &info) == 0 && S_ISDIR(info.st_mode));
        const bool usable = !suggested.empty() && suggested.find('/') == std::string::npos && suggested[0] != '.';
        const std::string name = usable ? suggested : m_fingerprint + part;
        const std::string path =
            folder ? (m_target.empty() || m_target.ends_with('/') ? m_target : m_target + "/") + name : m_target + part;
        m_files.emplace_back(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
        if (!m_files.back())
            return Error::fromErrno(errno, "write", path);
        m_paths.push_back(path);
        return sink();
    }
    const std::vector<std::string> &paths() const { return m_paths; }

private:
    client::Sink sink()
    {
        const int fd = m_files.back().get();
        return [fd](std::string_view piece) -> Status {
            while (!piece.empty()) {
                const ssize_t done = ::write(fd, piece.data(), piece.size());
                if (done < 0 && errno != EINTR)
                    return Error::fromErrno(errno, "write the image");
                piece.remove_prefix(done > 0 ? static_cast<std::size_t>(done) : 0);
            }
            return {};
        };
    }

    std::string m_target;
    std::string m_fingerprint;
    std::vector<Fd> m_files;
    std::vector<std::string> m_paths;
};

std::string dispositionName(std::string_view header)
{
    const std::size_t at = header.find("filename=");
    if (at == std::string_view::npos)
        return {};
    std::string_view name = header.substr(at + 9);
    if (name.starts_with('"'))
        return std::string(name.substr(1, name.find('"', 1) - 1));
    return std::string(trimmed(name.substr(0, name.find(';'))));
}

} // namespace

ColumnSet imageColumns() { return describe<Image>("image list", kImageStandard, kImageColumns); }
ColumnSet aliasColumns() { return describe<ImageAliasEntry>("image alias list", kAliasStandard, kAliasColumns); }

Result<int> imageList(Context &context, const Arguments &arguments)
{
    const std::string images = TRY(ofImageServer(context)) ? api::toJson(TRY(imagesOfServer(context, context.remote())))
                                                           : TRY(context.client().request("GET", "/1.0/images", {}, {{"recursion", "1"}})).metadata;
    TRY(printList<Image>(context, arguments, imageColumns(), kImageColumns, TRY(narrowed<Image>(images, arguments.words, &passes))));
    return 0;
}

Result<int> imageInfo(Context &context, const Arguments &arguments)
{
    std::string image;
    if (TRY(ofImageServer(context)))
        image = api::toJson(TRY(imageOfServer(context, context.remote(), arguments.word(0))));
    else
        image = TRY(context.client().request("GET", client::path("/1.0/images", {TRY(fingerprintOf(context, arguments.word(0)))}))).metadata;
    if (arguments.has("format"))
        TRY(printObject(context, arguments, TRY(client::Client::parse<api::Json>(image))));
    else
        context.print(describe(TRY(client::Client::parse<Image>(image))));
    return 0;
}

Result<int> imageImport(Context &context, const Arguments &arguments)
{
    if (arguments.word(0).starts_with("https://") || arguments.word(0).starts_with("http://"))
        return importUrl(context, arguments);
    std::vector<ImportFile> files;
    std::string encoded;
    for (const std::string &word : arguments.words) {
        // A file of that name is a file, whatever characters it has.
        if (word.find('=') != std::string::npos && ::access(word.c_str(), F_OK) != 0) {
            const KeyValue pair = TRY(keyValue(word));
            encoded.append(encoded.empty() ? "" : "&")
                .append(http::percentEncode(pair.key))
                .append("=")
                .append(http::percentEncode(pair.value));
        } else {
            files.push_back(TRY(openImport(word)));
        }
    }
    if (files.empty() || files.size() > 2)
        return Error(Code::Usage, "one tarball, or a metadata tarball and a root file system");
    client::Request request = TRY(uploadOf(context, files));
    if (arguments.has("public"))
        request.headers.set("X-LXD-public", "true");
    if (!encoded.empty())
        request.headers.set("X-LXD-properties", encoded);
    std::vector<std::string> profiles;
    for (const std::string &profile : arguments.values("profile"))
        profiles.push_back("profile=" + http::percentEncode(profile));
    if (!profiles.empty())
        request.headers.set("X-LXD-profiles", join(profiles, "&"));
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, "Importing"));
    const std::string fingerprint = done.metadata.text("fingerprint");
    for (const std::string &alias : arguments.values("alias"))
        TRY(addAlias(context, alias, fingerprint, {}));
    context.say("Image imported with fingerprint: " + fingerprint);
    return 0;
}

Result<int> imageExport(Context &context, const Arguments &arguments)
{
    const std::string fingerprint = TRY(fingerprintOf(context, arguments.word(0)));
    ExportTarget target(arguments.word(1), fingerprint);
    client::Request request;
    request.target = context.client().target(client::path("/1.0/images", {fingerprint, "export"}));
    Status opened;
    std::optional<client::FormReader> form;
    request.sink = [&](const http::ResponseHead &head) -> client::Sink {
        const std::string_view type = head.headers.value("Content-Type");
        if (type.starts_with("multipart/")) {
            form.emplace(type, [&](const std::string &name, const std::string &file) {
                return target.open(file, name == "metadata" ? "" : ".root");
            });
            return [&](std::string_view piece) { return form->feed(piece); };
        }
        Result<client::Sink> sink = target.open(dispositionName(head.headers.value("Content-Disposition")), "");
        if (sink)
            return *sink;
        opened = sink.error();
        return [&opened](std::string_view) { return opened; };
    };
    const client::Response response = TRY(context.client().exchange(request));
    TRY(std::move(opened));
    if (response.head.status != 200)
        return client::refusal(response);
    if (form)
        TRY(form->finish());
    for (const std::string &path : target.paths())
        context.say("Image exported to " + path);
    return 0;
}

Result<int> imageEdit(Context &context, const Arguments &arguments)
{
    constexpr std::string_view kHelp = "# This is an image. Lines that begin with '#' are left out.\n"
                                       "# Instances of it get the profiles where nobody names any; its files stay as they are.\n";
    const std::string path = client::path("/1.0/images", {TRY(fingerprintOf(context, arguments.word(0)))});
    const Versioned now = TRY(fetch(context, path));
    api::Json writable = api::Json::object();
    for (const char *key : {"auto_update", "expires_at", "profiles", "properties", "public"})
        if (const api::Json *value = now.object.find(key))
            writable[key] = *value;
    TRY(edit(context, path, kHelp, writable, now.etag));
    return 0;
}

Result<int> imageDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &image : arguments.words) {
        const std::string fingerprint = TRY(fingerprintOf(context, image));
        TRY(runWithProgress(context, "DELETE", client::path("/1.0/images", {fingerprint}), {}, "Deleting " + image));
    }
    return 0;
}

Result<int> aliasCreate(Context &context, const Arguments &arguments)
{
    TRY(addAlias(context, arguments.word(0), TRY(fingerprintOf(context, arguments.word(1))),
                 arguments.value("description", "")));
    return 0;
}

Result<int> aliasList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", "/1.0/images/aliases", {}, {{"recursion", "1"}}));
    const auto passesAlias = [](const ImageAliasEntry &alias, const std::string &filter) {
        return alias.name.starts_with(filter) || alias.target.starts_with(filter);
    };
    TRY(printList<ImageAliasEntry>(context, arguments, aliasColumns(), kAliasColumns,
                                   TRY(narrowed<ImageAliasEntry>(answer.metadata, arguments.words, passesAlias))));
    return 0;
}

Result<int> aliasDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &alias : arguments.words)
        TRY(context.client().request("DELETE", aliasPath(alias)));
    return 0;
}

Result<int> aliasRename(Context &context, const Arguments &arguments)
{
    TRY(context.client().request("POST", aliasPath(arguments.word(0)),
                                 api::toJson(api::RenamePost{arguments.word(1)})));
    return 0;
}

} // namespace lxmgr::cli
