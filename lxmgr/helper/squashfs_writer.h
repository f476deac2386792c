// Writing a squashfs of what comes as a tar archive: the distribution's mksquashfs (as sqfstar), in a process of its own
// that is shut in with nothing but the file to write.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"

#include <string>

namespace lxmgr::helper
{

class SquashfsWriter
{
public:
    struct Written {
        Bytes size;
        std::string hash; ///< SHA-256 of the file.
    };

    /// Starts it, for an empty file that can be read, too. The caller has one thread and is not shut in yet.
    /// Unsupported: names the package that is missing.
    static Result<SquashfsWriter> start(const Fd &to);
    /// Where the archive is written to, without holes: sqfstar does not read libarchive's form of them, and finds them itself.
    const Fd &input() const { return m_input; }
    /// The end of the archive: what came of it. Where writing to input() failed, this says why. NoSpace.
    Result<Written> finish();

private:
    SquashfsWriter() = default;
    Fd m_input, m_report;
};

} // namespace lxmgr::helper
