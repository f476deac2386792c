// The sandbox untrusted images are read in (security-model rule 5): ids of its own, no network, only the target to write to.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "images/store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::images
{

/// First of 65 536 host ids that unpacking runs as: of no instance (those end at 1 001 000 000), of no user.
inline constexpr std::uint32_t kUnpackIdBase = 0x70010000;

enum class SandboxUse {
    Library, ///< Reads archives in this process; may start no program.
    Program, ///< Starts one outside program (unsquashfs), which inherits all restrictions.
    ProgramWriter, ///< The same (mksquashfs), which writes the files that are named; as large as they get, as long as it takes.
    Reader,  ///< Computes on what it has read, writes to descriptors it has, opens nothing.
    Trees,   ///< Looks at trees it has open, whoever owns what is in them.
    Packer,  ///< The same, and writes what it compresses on all cores to a descriptor it has.
    Taker,   ///< As Library, for as long as it takes, beside a tree to compare with.
};

struct Sandbox {
    std::optional<Fd> target;  ///< The folder to write to, id-mapped so that owners on disk count from 0.
    std::vector<Fd> readable;  ///< Files the outside program opens by /proc/self/fd/N; of a ProgramWriter, to write.
    std::optional<Fd> base;    ///< The tree to compare with.
    bool ownIds = true;        ///< False where the file system cannot be id-mapped: then as root, confined by the rest alone.
};

/// Shuts this single-threaded process in. What it needs is opened before and named here; `target` may be nullptr.
/// There is no way back. Unsupported: no user namespaces.
Result<Sandbox> enterSandbox(SandboxUse use, const Fd *target, const std::vector<const Fd *> &readable, const UnpackLimits &limits);

/// The same for one that writes to `target` what is different from the tree that `layers` (paths, topmost first) show.
Result<Sandbox> enterTaker(const Fd &target, const std::vector<std::string> &layers, const UnpackLimits &limits);

/// Shuts in a single-threaded child of a process that has namespaces of its own already (a build): it keeps its ids and
/// descriptors and can open, make and start nothing, nor reach a network. There is no way back.
Status shutInReader();

/// Shuts in a single-threaded process that looks at `trees`, read-only mounts of their own: there is nothing else for
/// it to open, it owns nothing, and may read there whatever a guest has closed. Ids stay as they are. No way back.
/// Unsupported: no user namespaces.
Status shutInTreeReader(const std::vector<const Fd *> &trees);

/// The same for one that packs them, with threads to compress; it needs no user namespace, so none may be there. What it
/// writes may be as large as it gets, and takes the time it takes.
Status shutInPacker(const std::vector<const Fd *> &trees);

/// Takes from a process that is about to become a program of the host what such a program never needs: other processes,
/// other namespaces, sockets, new kernel surface; and of its capabilities all but `keep`. No way back.
Status shutInProgram(std::uint64_t keep);

} // namespace lxmgr::images
