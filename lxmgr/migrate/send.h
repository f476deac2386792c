// Sending a tree to another host: all its entries, and of its files those that the other side has not.
#pragma once

#include "migrate/stream.h"

#include <functional>

namespace lxmgr::migrate
{

struct Sent {
    std::uint64_t entries = 0;
    std::uint64_t data = 0;     ///< Bytes of files.
    std::uint64_t leftOut = 0;  ///< Nodes 0:0, which only mark that something is not there.
};

/// Nobody writes to `tree` meanwhile. `before`: an earlier state of it that the taker has for certain, if there is one: what is
/// untouched since is said to be so. `told` gets the bytes sent, now and then.
Result<Sent> sendTree(Stream &stream, const Fd &tree, const Fd *before, const std::function<void(std::uint64_t)> &told);

} // namespace lxmgr::migrate
