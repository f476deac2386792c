#include "instances/templates.h"

#include "base/text.h"
#include "images/render.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <cctype>
#include <mutex>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kFolder = "templates";
constexpr const char *kMetadata = "metadata.yaml";
constexpr std::size_t kLongest = 1 << 20;
constexpr std::size_t kMost = 100;
constexpr std::size_t kLongestName = 255;

std::mutex changing; ///< One change of templates at a time: the first copies what the image has.

Status checkName(const std::string &name)
{
    const bool good = !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
                      std::ranges::all_of(name, [](unsigned char c) { return c > ' ' && c < 0x7f && c != '/'; });
    return good ? Status() : Status(Error(Code::Invalid, "template " + quoted(name) + " must be the name of one file, without '/' or spaces"));
}

Result<Fd> templatesIn(const Fd &folder) { return path::open(folder, kFolder, O_RDONLY | O_DIRECTORY, path::Scope::NoMount); }

Result<std::vector<std::string>> namesIn(const Fd &folder)
{
    const auto templates = templatesIn(folder);
    if (!templates && templates.error().errnum == ENOENT)
        return std::vector<std::string>();
    std::vector<std::string> names = TRY(path::list(TRY(templatesIn(folder))));
    std::erase_if(names, [](const std::string &name) { return !checkName(name); });
    std::ranges::sort(names);
    return names;
}

Result<std::string> textIn(const Fd &folder, const std::string &name)
{
    const auto missing = [&] { return Error(Code::NotFound, "Template not found: " + quoted(name)); };
    const auto templates = templatesIn(folder);
    if (!templates)
        return templates.error().errnum == ENOENT ? missing() : templates.error();
    const auto file = path::open(*templates, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, path::Scope::NoMount);
    if (!file)
        return file.error().errnum == ENOENT ? missing() : file.error();
    const struct stat info = TRY(sys::fstat(*file));
    if (!S_ISREG(info.st_mode) || info.st_nlink != 1)
        return Error(Code::Invalid, "template " + quoted(name) + " is not a regular file with one name");
    return files::readAll(*file, kLongest);
}

std::string bareMetadata(const store::Instance &row)
{
    images::Metadata metadata;
    metadata.architecture = row.architecture;
    metadata.creationDate = row.createdAt / 1000;
    return images::formatMetadata(metadata);
}

/// The volume's folder with a set of its own in it. metadata.yaml comes last: by it one is told from a half made one.
Result<Fd> ownFolder(storage::Driver &pool, const store::Instance &row)
{
    Fd volume = TRY(pool.openVolume(row.project, row.name));
    if (sys::fstatat(volume, kMetadata))
        return volume;
    const auto from = TRY(openTemplates(pool, row));
    if (Status made = sys::mkdirat(volume, kFolder, 0755); !made && made.error().errnum != EEXIST)
        return std::move(made.error());
    const Fd templates = TRY(templatesIn(volume));
    if (from)
        for (const std::string &name : TRY(namesIn(*from)))
            TRY(files::replace(templates, name, TRY(textIn(*from, name)), 0644));
    const std::string text = from ? TRY(files::read(*from, kMetadata, kLongest)) : bareMetadata(row);
    TRY(files::replace(volume, kMetadata, text, 0644));
    return volume;
}

} // namespace

Result<std::optional<Fd>> openTemplates(storage::Driver &pool, const store::Instance &row)
{
    Fd volume = TRY(pool.openVolume(row.project, row.name));
    if (sys::fstatat(volume, kMetadata))
        return std::optional(std::move(volume));
    if (row.image.empty())
        return std::optional<Fd>();
    auto image = pool.openImage(row.image);
    if (!image && image.error().code == Code::NotFound)
        return std::optional<Fd>(); // the image was deleted since; its tree lives on below the volume
    return std::optional(TRY(std::move(image)));
}

Result<images::Metadata> metadataOf(storage::Driver &pool, const store::Instance &row)
{
    const auto folder = TRY(openTemplates(pool, row));
    return folder ? images::readMetadata(*folder) : images::parseMetadata(bareMetadata(row));
}

Status setMetadata(storage::Driver &pool, const store::Instance &row, const images::Metadata &metadata)
{
    const std::string text = images::formatMetadata(metadata);
    TRY(images::parseMetadata(text));
    const std::lock_guard lock(changing);
    return files::replace(TRY(ownFolder(pool, row)), kMetadata, text, 0644);
}

Result<std::vector<std::string>> templatesOf(storage::Driver &pool, const store::Instance &row)
{
    const auto folder = TRY(openTemplates(pool, row));
    return folder ? namesIn(*folder) : Result<std::vector<std::string>>(std::vector<std::string>());
}

Result<std::string> readTemplate(storage::Driver &pool, const store::Instance &row, const std::string &name)
{
    TRY(checkName(name));
    const auto folder = TRY(openTemplates(pool, row));
    if (!folder)
        return Error(Code::NotFound, "Template not found: " + quoted(name));
    return textIn(*folder, name);
}

Status writeTemplate(storage::Driver &pool, const store::Instance &row, const std::string &name, const std::string &text)
{
    TRY(checkName(name));
    if (text.size() > kLongest)
        return Error(Code::Invalid, "template " + quoted(name) + " is longer than 1 MiB");
    const std::lock_guard lock(changing);
    const Fd folder = TRY(ownFolder(pool, row));
    const std::vector<std::string> names = TRY(namesIn(folder));
    if (names.size() >= kMost && std::ranges::find(names, name) == names.end())
        return Error(Code::Invalid, "more than " + std::to_string(kMost) + " templates");
    if (Status made = sys::mkdirat(folder, kFolder, 0755); !made && made.error().errnum != EEXIST)
        return made;
    return files::replace(TRY(templatesIn(folder)), name, text, 0644);
}

Status deleteTemplate(storage::Driver &pool, const store::Instance &row, const std::string &name)
{
    TRY(readTemplate(pool, row, name)); // NotFound, before a set of its own is made
    const std::lock_guard lock(changing);
    return sys::unlinkat(TRY(templatesIn(TRY(ownFolder(pool, row)))), name);
}

} // namespace lxmgr::instances
