// The template language: a scanner cuts a text into pieces, a parser makes a tree of statements, running it gives the text.
// A template comes from an image, so every loop here is bounded: input, nesting, steps and output.
#include "images/render.h"

#include "base/text.h"
#include "images/template_text.h"
#include "kernel/files.h"
#include "kernel/path.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kLongestText = 1 << 20;

using template_text::Value;

/// "x86_64" and the like; "true" and "false" stay texts, as LXD gives them.
Value textMap(const std::map<std::string, std::string> &texts)
{
    Value::Map map;
    for (const auto &[key, value] : texts)
        map[key] = Value(value);
    return Value(std::move(map));
}

Value::Map globals(const RenderContext &context, const std::string &path, const std::map<std::string, std::string> &properties)
{
    Value::Map devices;
    for (const auto &[name, device] : context.devices)
        devices[name] = textMap(device);
    Value::Map all = {
        {"trigger", Value(context.trigger)},
        {"path", Value(path)},
        {"instance", textMap(context.instance)},
        {"container", textMap(context.instance)}, // the name older images know
        {"config", textMap(context.config)},
        {"devices", Value(std::move(devices))},
        {"properties", textMap(properties)},
    };
    for (const auto &[name, values] : context.values)
        all.emplace(name, textMap(values));
    return all;
}

/// A manager's file of an image: below its folder, no link anywhere, a regular file with one name.
Result<std::string> readOwnFile(const Fd &imageDirectory, const std::string &path)
{
    const Fd file = TRY(path::open(imageDirectory, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, path::Scope::NoMount));
    struct stat info{};
    if (::fstat(file.get(), &info) < 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1)
        return Error(Code::Invalid, quoted(path) + " is not a regular file with one name");
    return files::readAll(file, kLongestText);
}

} // namespace

Result<std::string> renderText(std::string_view text, const RenderContext &context, const std::string &path,
                               const std::map<std::string, std::string> &properties)
{
    if (text.size() > kLongestText)
        return Error(Code::Invalid, "the template is longer than 1 MiB");
    const auto program = TRY(template_text::parse(text));
    return template_text::run(*program, globals(context, path, properties));
}

Result<Metadata> readMetadata(const Fd &imageDirectory) { return parseMetadata(TRY(readOwnFile(imageDirectory, "metadata.yaml"))); }

Result<std::vector<RenderedFile>> renderTemplates(const Metadata &metadata, const Fd &imageDirectory, const RenderContext &context)
{
    std::vector<RenderedFile> rendered;
    for (const TemplateRule &rule : metadata.templates) {
        if (std::ranges::find(rule.when, context.trigger) == rule.when.end())
            continue;
        const std::string where = "image template " + quoted(rule.source);
        const std::string text = TRY_IN(where, readOwnFile(imageDirectory, "templates/" + rule.source));
        RenderedFile file;
        file.path = rule.target;
        file.content = TRY_IN(where, renderText(text, context, rule.target, rule.properties));
        file.createOnly = rule.createOnly;
        file.uid = rule.uid.value_or(0);
        file.gid = rule.gid.value_or(0);
        file.mode = rule.mode.value_or(0644);
        rendered.push_back(std::move(file));
    }
    return rendered;
}

} // namespace lxmgr::images
