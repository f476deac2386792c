#include "kernel/sysfs_files.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>

namespace lxmgr::sysfs
{

std::optional<std::string> attribute(const Fd &folder, const std::string &name)
{
    const auto text = files::read(folder, name);
    return text ? std::optional(std::string(trimmed(*text))) : std::nullopt;
}

std::optional<std::uint32_t> number(const std::optional<std::string> &text)
{
    const auto value = largeNumber(text);
    return value && *value <= UINT32_MAX ? std::optional(static_cast<std::uint32_t>(*value)) : std::nullopt;
}

std::optional<std::uint64_t> largeNumber(const std::optional<std::string> &text)
{
    const auto value = text ? parseUnsigned(*text) : Result<std::uint64_t>(Error(Code::NotFound, ""));
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<std::string> pciId(const Fd &folder, const std::string &name)
{
    const auto text = attribute(folder, name);
    return text && text->starts_with("0x") ? std::optional(text->substr(2)) : text;
}

std::string lastPart(const std::string &path) { return path.substr(path.rfind('/') + 1); }

std::string linkName(const Fd &folder, const std::string &name)
{
    const auto target = sys::readlinkat(folder, name);
    return target ? lastPart(*target) : std::string();
}

Result<std::vector<std::pair<std::string, Fd>>> foldersIn(const std::string &path)
{
    std::vector<std::pair<std::string, Fd>> found;
    auto folder = sys::open(path, O_RDONLY | O_DIRECTORY);
    if (!folder && folder.error().errnum == ENOENT)
        return found;
    std::vector<std::string> names = TRY(path::list(TRY(std::move(folder))));
    std::ranges::sort(names);
    for (const std::string &name : names)
        if (auto inner = sys::open(path + "/" + name, O_RDONLY | O_DIRECTORY))
            found.emplace_back(name, std::move(*inner));
    return found;
}

} // namespace lxmgr::sysfs
