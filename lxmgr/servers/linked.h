// Linked: an image by the address of a page that tells, in the head of its answer, where the image is and what its fingerprint is.
#pragma once

#include "servers/offer.h"
#include "servers/site.h"

namespace lxmgr::servers
{

struct Linked {
    std::string origin; ///< "https://host": of the image itself.
    Offer offer;
};
/// Asks with HEAD: LXD-Image-Hash and LXD-Image-URL, or Incus-Image-*. Invalid where it does not tell.
Result<Linked> linkedImage(const std::string &url, const Patience &patience);

} // namespace lxmgr::servers
