// SHA-256 as it names images: over one file, or over the metadata file followed by the root file system's.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace lxmgr::images
{

class Sha256
{
public:
    Sha256();
    Sha256(Sha256 &&) noexcept;
    Sha256 &operator=(Sha256 &&) noexcept;
    ~Sha256();
    void update(std::span<const std::byte> bytes);
    /// 64 lower-case hex digits; the object is then spent.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> m_state;
};

/// Adds the whole of `file` (from its start; the offset is left alone) to `hash`.
Status hashFile(const Fd &file, Sha256 &hash, Progress &progress = Progress::none());
/// Exactly 64 of 0-9a-f: checked before a fingerprint becomes part of a path.
bool isFingerprint(const std::string &text);
/// 1 to 64 of 0-9a-f: what a user may type for one.
bool isFingerprintPrefix(const std::string &text);

} // namespace lxmgr::images
