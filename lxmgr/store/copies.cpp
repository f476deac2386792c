#include "store/copies.h"

#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <memory>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace lxmgr::store
{

namespace
{

constexpr std::time_t kDay = 24 * 3600;
constexpr const char *kEnding = ".bak";

std::string prefixOf(const Database &db) { return db.path() + ".day-"; }

std::string copyOf(const Database &db, std::time_t now)
{
    std::tm day{};
    ::gmtime_r(&now, &day);
    char text[16];
    (void)std::strftime(text, sizeof text, "%Y-%m-%d", &day);
    return prefixOf(db) + text + kEnding;
}

/// The oldest first: their names sort so.
Result<std::vector<std::string>> copiesOf(const Database &db)
{
    const std::string prefix = prefixOf(db);
    const std::size_t folder = prefix.rfind('/') + 1;
    const std::unique_ptr<DIR, int (*)(DIR *)> listing(::opendir(folder == 0 ? "." : prefix.substr(0, folder).c_str()), &::closedir);
    if (!listing)
        return Error::fromErrno(errno, "opendir", prefix.substr(0, folder));
    std::vector<std::string> copies;
    for (;;) {
        errno = 0;
        const dirent *entry = ::readdir(listing.get());
        if (!entry && errno != 0)
            return Error::fromErrno(errno, "readdir", prefix.substr(0, folder));
        if (!entry)
            break;
        if (const std::string_view name = entry->d_name; name.starts_with(prefix.substr(folder)) && name.ends_with(kEnding))
            copies.push_back(prefix.substr(0, folder).append(name));
    }
    std::ranges::sort(copies);
    return copies;
}

} // namespace

std::time_t nextCopy(const Database &db, std::time_t now)
{
    return ::access(copyOf(db, now).c_str(), F_OK) == 0 ? (now / kDay + 1) * kDay : now;
}

Status makeCopy(Database &db, std::time_t now)
{
    TRY(db.copyTo(copyOf(db, now)));
    std::vector<std::string> copies = TRY(copiesOf(db));
    for (std::size_t i = 0; i + kDailyCopies < copies.size(); ++i)
        if (::unlink(copies[i].c_str()) != 0 && errno != ENOENT)
            return Error::fromErrno(errno, "unlink", copies[i]);
    return {};
}

} // namespace lxmgr::store
