// What is packed of an instance, as an export or an image: its layers, and what lies beside its root file system.
#pragma once

#include "storage/driver.h"
#include "store/instances.h"

#include <memory>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// The tree, or the layers of an overlay, topmost first.
std::vector<std::string> layersOf(const storage::RootTree &tree);

/// metadata.yaml and templates of an instance: its own, its image's, or none but what can be said without them.
struct Beside {
    std::string metadata;
    std::string templates; ///< Folder, "" for none.
};
Result<Beside> besideOf(storage::Driver &pool, const store::Instance &row);

/// Held: as a state of its own, that nobody writes to, even if the instance is stopped.
enum class KeepAs { ItIs, Held };

/// The files of an instance, which stay as they are for as long as this is there. Must not outlive the pool.
struct KeptTree {
    std::vector<std::string> layers;
    std::unique_ptr<storage::Held> held;
    std::shared_ptr<void> kept;
};

} // namespace lxmgr::instances
