// Which drivers there are, and what keeps this host from using the others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::storage
{

struct DriverState {
    std::string_view name;
    std::string_view summary; ///< What it stores in, and what a snapshot or copy costs.
    bool available = false;
    std::string reason; ///< Why it is not available, or what it can not do here; "" for nothing.
};

/// Of every driver, those of other managers too, in alphabetical order. `stateDir`: where a pool without a source lies.
std::vector<DriverState> driverStates(const std::string &stateDir);

} // namespace lxmgr::storage
