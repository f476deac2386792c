// Offer: an image that a server has, and the files it is made of.
#pragma once

#include "api/images.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::servers
{

struct OfferedFile {
    std::string path; ///< Below the server's address.
    std::uint64_t size = 0;
};

struct Offer {
    api::Image image;               ///< As our own API would show it; size and aliases as the server says.
    std::vector<OfferedFile> files; ///< One, or metadata and root file system. None: the API is asked for the whole.
};

} // namespace lxmgr::servers
