// TPMs of instances: what emulates them, and the folders that it keeps what they know in.
#pragma once

#include "base/fd.h"
#include "base/paths.h"
#include "config/expand.h"
#include "spec/launch.h"
#include "store/instances.h"

#include <string>
#include <vector>

namespace lxmgr::instances
{

/// Unsupported: swtpm(8) or the kernel's part of it is missing, with the cure.
Status checkTpmSupport(const Paths &paths);
/// Emulators for the devices of type tpm, their folders in `volume`. Unsupported as above.
Result<std::vector<spec::Tpm>> planTpms(const store::Instance &instance, const config::Effective &effective, const std::string &volume, const Paths &paths);
/// The folders of `tpms` are in `volume`, with all that is in them theirs who emulate them; of other devices there are none.
Status makeTpmFolders(const std::vector<spec::Tpm> &tpms, const Fd &volume);
/// Copies what the TPMs of a stopped instance know from its volume `from` to `to`, which has none. They are one TPM afterwards: for moves.
Status copyTpms(const Fd &from, const Fd &to);

} // namespace lxmgr::instances
