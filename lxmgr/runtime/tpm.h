// A guest's TPM: swtpm(8) beside the monitor, without rights of its own, answers for a device of the kernel's. It needs no daemon, and
// ends with whoever began it.
#pragma once

#include "kernel/process.h"
#include "spec/launch.h"

#include <sys/types.h>
#include <utility>
#include <vector>

namespace lxmgr::runtime
{

class TpmEmulator
{
public:
    /// `nodes` gets what the guest is to have. Blocks until the kernel has spoken with the TPM, some 100 ms. After an error,
    /// which has swtpm's words in it, nothing is left.
    static Result<TpmEmulator> begin(const spec::Tpm &tpm, std::vector<spec::DeviceNode> &nodes);
    TpmEmulator(TpmEmulator &&other) noexcept : m_device(std::move(other.m_device)), m_child(std::exchange(other.m_child, {})) {}
    TpmEmulator &operator=(TpmEmulator &&) = delete;
    /// Ends it: what it knows is on disk with every answer it gave.
    ~TpmEmulator();

    /// Whether `pid`, which has ended, was it. The guest's nodes answer errors from then on.
    bool reap(pid_t pid);
    const std::string &device() const { return m_device; }

private:
    explicit TpmEmulator(std::string device) : m_device(std::move(device)) {}

    std::string m_device;
    process::Child m_child;
};

} // namespace lxmgr::runtime
