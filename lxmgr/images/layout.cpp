#include "images/layout.h"

#include "base/text.h"

namespace lxmgr::images
{

Layout guessLayout(const std::vector<std::string> &firstParts)
{
    const std::string &top = firstParts.front();
    return top == "metadata.yaml" || top == "templates" || top == "rootfs" ? Layout::Unified : Layout::Rootfs;
}

Place placeOf(const std::vector<std::string> &parts, Layout layout)
{
    const std::string path = join(parts, "/");
    if (layout == Layout::Rootfs)
        return {Place::Kind::Rootfs, path.empty() ? "rootfs" : "rootfs/" + path};
    if (path == "metadata.yaml")
        return {Place::Kind::Metadata, path};
    if (path == "templates")
        return {Place::Kind::Templates, path};
    if (parts.size() == 2 && parts.front() == "templates")
        return {Place::Kind::Template, path};
    if (!parts.empty() && parts.front() == "rootfs")
        return {Place::Kind::Rootfs, path};
    return {Place::Kind::Other, path};
}

} // namespace lxmgr::images
