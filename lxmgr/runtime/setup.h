// What the first boot makes in a guest's root: accounts, keys and files, in the guest's namespaces, as its root.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/launch.h"

namespace lxmgr::runtime
{

/// Every path is resolved below `root`, links meaning what they mean there. Done again it changes nothing but appended files.
Status setUpGuest(const Fd &root, const spec::GuestSetup &setup);

} // namespace lxmgr::runtime
