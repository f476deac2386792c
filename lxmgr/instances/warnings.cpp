#include "instances/warnings.h"

#include "base/log.h"
#include "instances/names.h"
#include "kernel/cgroup.h"

namespace lxmgr::instances
{

namespace
{

using enum WarningType;

struct Controller {
    WarningType type;
    std::string_view v1, v2; ///< "": a part of every cgroup2 tree.
};
constexpr Controller kControllers[] = {
    {CgroupBlkio,   "blkio",   "io"     },
    {CgroupCpu,     "cpu",     "cpu"    },
    {CgroupCpuset,  "cpuset",  "cpuset" },
    {CgroupFreezer, "freezer", ""       },
    {CgroupHugetlb, "hugetlb", "hugetlb"},
    {CgroupMemory,  "memory",  "memory" },
    {CgroupPids,    "pids",    "pids"   },
};

constexpr std::int64_t kKeepResolved = 24 * 60 * 60 * 1000; ///< Milliseconds.

} // namespace

void warn(store::Database &db, WarningType type, const store::WarningSubject &subject, const std::string &message)
{
    const api::WarningInfo &info = api::warningInfo(type);
    if (info.severity == "high")
        log::error(message);
    else
        log::warning(message);
    if (const Status noted = store::noteWarning(db, newUuid(), std::string(info.name), subject, message); !noted)
        log::error("warnings: " + noted.error().message + ", ignoring");
}

void resolve(store::Database &db, WarningType type, const store::WarningSubject &subject)
{
    if (const Status resolved = store::resolveWarning(db, std::string(api::warningInfo(type).name), subject); !resolved)
        log::error("warnings: " + resolved.error().message + ", ignoring");
}

void follow(store::Database &db, WarningType type, const store::WarningSubject &subject, const Status &done, const std::string &context)
{
    if (done)
        resolve(db, type, subject);
    else
        warn(db, type, subject, context + ": " + done.error().message);
}

void warnOfHost(store::Database &db)
{
    if (const Status dropped = store::deleteResolvedWarnings(db, store::unixMillis() - kKeepResolved); !dropped)
        log::error("warnings: " + dropped.error().message + ", ignoring");
    const auto layout = cgroup::Layout::probe();
    if (!layout)
        return; // no guest starts, and says why
    for (const Controller &one : kControllers) {
        if (layout->has(one.v1) || layout->has(one.v2))
            resolve(db, one.type, kAboutServer);
        else
            warn(db, one.type, kAboutServer, std::string(api::warningInfo(one.type).name) + ": " + std::string(api::warningInfo(one.type).meaning));
    }
}

} // namespace lxmgr::instances
