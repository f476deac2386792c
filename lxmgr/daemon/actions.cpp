#include "daemon/actions.h"

#include "api/operations.h"
#include "daemon/context.h"

#include <algorithm>

namespace lxmgr::daemon
{

namespace
{

using enum api::RouteId;

struct Row {
    api::RouteId route;
    std::string_view action;
    std::string_view collection; ///< The object is the request's {name} (or the only parameter there is) in it.
    std::string_view detail;     ///< A parameter or a field of the query that goes into the context; without it there is no event.
};
constexpr Row kRows[] = {
    {InstanceConsole,        "instance-console",                     "instances",      {}        },
    {InstanceConsoleLog,     "instance-console-retrieved",           "instances",      {}        },
    {InstanceConsoleClear,   "instance-console-reset",               "instances",      {}        },
    {InstanceFileGet,        "instance-file-retrieved",              "instances",      "path"    },
    {InstanceFilePost,       "instance-file-pushed",                 "instances",      "path"    },
    {InstanceFileDelete,     "instance-file-deleted",                "instances",      "path"    },
    {InstanceLogGet,         "instance-log-retrieved",               "instances",      "file"    },
    {InstanceLogDelete,      "instance-log-deleted",                 "instances",      "file"    },
    {InstanceMetadataGet,    "instance-metadata-retrieved",          "instances",      {}        },
    {InstanceMetadataPut,    "instance-metadata-updated",            "instances",      {}        },
    {InstanceMetadataPatch,  "instance-metadata-updated",            "instances",      {}        },
    {InstanceTemplateGet,    "instance-metadata-template-retrieved", "instances",      "path"    },
    {InstanceTemplatePost,   "instance-metadata-template-created",   "instances",      "path"    },
    {InstanceTemplateDelete, "instance-metadata-template-deleted",   "instances",      "path"    },
    {ImagePut,               "image-updated",                        "images",         {}        },
    {ImagePatch,             "image-updated",                        "images",         {}        },
    {ImageExport,            "image-retrieved",                      "images",         {}        },
    {ImageSecret,            "image-secret-created",                 "images",         {}        },
    {ImageAliasCreate,       "image-alias-created",                  "images/aliases", {}        },
    {ImageAliasPut,          "image-alias-updated",                  "images/aliases", {}        },
    {ImageAliasPatch,        "image-alias-updated",                  "images/aliases", {}        },
    {ImageAliasPost,         "image-alias-renamed",                  "images/aliases", "old_name"},
    {ImageAliasDelete,       "image-alias-deleted",                  "images/aliases", {}        },
    {ProfileCreate,          "profile-created",                      "profiles",       {}        },
    {ProfilePut,             "profile-updated",                      "profiles",       {}        },
    {ProfilePatch,           "profile-updated",                      "profiles",       {}        },
    {ProfilePost,            "profile-renamed",                      "profiles",       "old_name"},
    {ProfileDelete,          "profile-deleted",                      "profiles",       {}        },
};

std::string nameIn(const Request &request)
{
    for (const char *parameter : {"name", "fingerprint", "id"})
        if (const std::string &value = request.param(parameter); !value.empty())
            return value;
    return {};
}

std::string detailOf(const Request &request, std::string_view detail)
{
    if (detail == "old_name")
        return nameIn(request);
    const std::string &parameter = request.param(detail);
    return parameter.empty() ? std::string(request.query.value(detail)) : parameter;
}

} // namespace

std::optional<Action> Action::of(const Request &request)
{
    const auto *row = std::ranges::find(kRows, request.id(), &Row::route);
    if (row == std::end(kRows))
        return std::nullopt;
    Action action;
    action.m_project = request.project();
    action.m_event.action = row->action;
    action.m_event.source = urlOf(row->collection, nameIn(request), action.m_project);
    action.m_event.requestor = request.peer.requestor();
    if (row->detail.empty())
        return action;
    const std::string detail = detailOf(request, row->detail);
    if (detail.empty())
        return std::nullopt; // a list
    action.m_event.context[std::string(row->detail)] = detail;
    return action;
}

api::Lifecycle Action::event(const std::string &location) const
{
    api::Lifecycle event = m_event;
    if (!location.empty() && !location.starts_with("/1.0/operations/")) // what was made, or is called otherwise now
        event.source = location;
    return event;
}

} // namespace lxmgr::daemon
