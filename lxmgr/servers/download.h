// Download: the files of an offer into something that keeps what it has, however often the connection is cut.
#pragma once

#include "base/progress.h"
#include "servers/image_server.h"

namespace lxmgr::servers
{

/// Where the bytes go. It may have some of them from an earlier time.
class Target
{
public:
    virtual ~Target() = default;
    virtual std::size_t part() const = 0;         ///< Of which file, from 0.
    virtual std::uint64_t received() const = 0;   ///< Of that file.
    virtual std::uint64_t ofAll() const = 0;      ///< Of that one and those before it.
    virtual Status write(std::string_view piece) = 0;
    virtual Status nextPart() = 0;
    virtual Status startAgain() = 0; ///< From nothing; the note goes, too.
    /// A text that is kept as long as the bytes are; "": none was.
    virtual Status setNote(const std::string &text) = 0;
    virtual std::string note() const = 0;
};

/// Retries what was cut off where it was cut. Unavailable after several times without a byte more; Corrupt where more comes than the
/// server had said.
Status download(ImageServer &server, const Offer &offer, Target &target, Progress &progress);

} // namespace lxmgr::servers
