// Image templates as the wire has them. Ours: lxmgr_templates.
#pragma once

#include "api/fields.h"
#include "api/images.h"
#include "api/types.h"

#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

/// GET /1.0/lxmgr/templates
struct Template {
    std::string name, description;
    std::vector<std::string> releases;
    std::string defaultRelease;
    std::string source;  ///< Where its text came from: a path.
    std::string content; ///< Its text; only with one template.
};
template <> struct Fields<Template> {
    using T = Template;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"description", &T::description},
        Field{"releases", &T::releases},
        Field{"default_release", &T::defaultRelease},
        Field{"source", &T::source},
        Field{"content", &T::content, OmitEmpty{}},
    };
};

/// POST /1.0/lxmgr/templates/<name>/build
struct TemplateBuildPost {
    std::string release;
    StringMap options; ///< mirror, suite
    std::vector<ImageAlias> aliases;
};
template <> struct Fields<TemplateBuildPost> {
    using T = TemplateBuildPost;
    static constexpr auto rows = std::tuple{Field{"release", &T::release}, Field{"options", &T::options},
                                            Field{"aliases", &T::aliases, OmitEmpty{}}};
};

} // namespace lxmgr::api
