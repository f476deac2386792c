// What two helpers say to each other over a stream while a tree goes from one host to another: the entries of the tree, which
// of its files are wanted, and what is in those.
//
//   sender                                    taker
//   entries of a batch, kBatchEnd       ->    compares them with what it has
//                                       <-    one answer for each file that it has not for certain
//   what is in those, in their order    ->    makes what is different
//   … until a batch ends with kTreeEnd
//
// Neither side sends while the other does, so a stream of any kind and any size of buffers will do. Numbers are of seven bits a
// byte, the lowest first, with the eighth set in all but the last.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <sys/stat.h>

namespace lxmgr::migrate
{

/// Blocking reads and writes of numbers and texts. Unavailable: the other side has gone; Timeout: it says nothing.
class Stream
{
public:
    explicit Stream(const Fd &socket) : m_socket(socket) {}

    Status putNumber(std::uint64_t value);
    Status putText(std::string_view text);
    Status putBytes(std::string_view bytes);
    Status flush();

    Result<std::uint64_t> number();
    /// Invalid: longer than `most`.
    Result<std::string> text(std::size_t most);
    /// The next bytes, at most `most` and at least one.
    Result<std::string_view> bytes(std::size_t most);

    std::uint64_t sent() const { return m_sentBefore + m_out.size(); }
    std::uint64_t received() const { return m_receivedBefore - (m_in.size() - m_at); }

private:
    Status fill();

    const Fd &m_socket;
    std::string m_out;
    std::string m_in;
    std::size_t m_at = 0; ///< Of m_in: taken so far.
    std::uint64_t m_sentBefore = 0, m_receivedBefore = 0;
};

enum class Kind : std::uint64_t {
    Enter = 1, ///< A folder; its entries follow, up to its Leave.
    Leave,
    File,
    Link,
    Node,     ///< Fifo, socket or device.
    BatchEnd,
    TreeEnd,  ///< The same, and nothing follows.
};

/// One name in the tree, as it lies on the sender's disk: ids count as inside.
struct Entry {
    Kind kind = Kind::Leave;
    std::string name;
    mode_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    timespec modified{};
    std::uint64_t size = 0;      ///< Of a file.
    unsigned major = 0, minor = 0; ///< Of a device.
    std::string target;          ///< Of a link.
    std::uint64_t several = 0;   ///< The same number for each name of a file that has several; 0: it has one.
    bool untouched = false;      ///< The same as in the state that the taker was told to compare with.
    std::map<std::string, std::string> attributes;
};
Status putEntry(Stream &stream, const Entry &entry);
Result<Entry> takeEntry(Stream &stream);
/// Invalid: no file can be called so.
Status checkName(const std::string &name);

/// The taker's answer to a file.
enum class Wish : std::uint64_t {
    Want = 1,
    Check, ///< It may be the same: the SHA-256 of what is here follows.
};
/// The sender's answer to that.
enum class Found : std::uint64_t { Same = 1, Data };

/// Pieces of a file: a length and whether it is a hole, in one number; 0 ends it.
constexpr std::uint64_t kHole = 1;
constexpr std::size_t kPiece = 256 << 10;

/// A batch ends with either of these; both sides hold one in memory.
constexpr std::size_t kMostEntries = 4096;
constexpr std::size_t kMostAttributeBytes = 4 << 20;
/// Folders below each other; images end there too.
constexpr std::size_t kDeepest = 1024;

/// Extended attributes that go along: others are the sender's host's own affair.
bool goesAlong(std::string_view attribute);

} // namespace lxmgr::migrate
