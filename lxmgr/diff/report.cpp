#include "diff/report.h"

#include "base/text.h"
#include "kernel/files.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace lxmgr::diff
{

namespace
{

enum Kind : std::uint32_t { kOpened = 1, kChange, kWarning, kPackages, kPackage, kFailed, kDone };

constexpr std::uint32_t kLongestBody = 4U << 20;
constexpr std::size_t kWriteFrom = 64 * 1024;

class Writer
{
public:
    Writer &number(std::uint64_t value)
    {
        for (int i = 0; i < 8; ++i)
            m_bytes.push_back(static_cast<char>(value >> (8 * i)));
        return *this;
    }
    Writer &text(std::string_view value)
    {
        number(value.size());
        m_bytes.append(value);
        return *this;
    }
    const std::string &bytes() const { return m_bytes; }

private:
    std::string m_bytes;
};

/// The first thing that does not fit sticks.
class Reader
{
public:
    explicit Reader(std::string_view bytes) : m_bytes(bytes) {}
    std::uint64_t number(std::uint64_t most = UINT64_MAX)
    {
        std::uint64_t value = 0;
        if (m_bytes.size() < 8)
            return fail();
        for (std::size_t i = 8; i-- > 0;)
            value = value << 8 | static_cast<unsigned char>(m_bytes[i]);
        m_bytes.remove_prefix(8);
        return value <= most ? value : fail();
    }
    std::uint32_t number32() { return static_cast<std::uint32_t>(number(UINT32_MAX)); }
    std::string text()
    {
        const std::uint64_t size = number(m_bytes.size());
        if (size > m_bytes.size())
            return fail(), std::string();
        std::string value(m_bytes.substr(0, size));
        m_bytes.remove_prefix(size);
        return value;
    }
    bool ok() const { return m_ok && m_bytes.empty(); }

private:
    std::uint64_t fail()
    {
        m_ok = false;
        m_bytes = {};
        return 0;
    }
    std::string_view m_bytes;
    bool m_ok = true;
};

void write(Writer &writer, const std::optional<FileState> &state)
{
    writer.number(state ? 1 : 0);
    if (state)
        writer.number(static_cast<std::uint64_t>(state->type))
            .number(state->mode)
            .number(state->uid)
            .number(state->gid)
            .number(state->size)
            .number(static_cast<std::uint64_t>(state->modified))
            .number(state->modifiedNanos)
            .text(state->target)
            .number(state->major)
            .number(state->minor);
}

std::optional<FileState> readState(Reader &reader)
{
    if (reader.number(1) == 0)
        return std::nullopt;
    FileState state;
    state.type = static_cast<FileType>(reader.number(static_cast<std::uint64_t>(FileType::Socket)));
    state.mode = reader.number32();
    state.uid = reader.number32();
    state.gid = reader.number32();
    state.size = reader.number();
    state.modified = static_cast<std::int64_t>(reader.number());
    state.modifiedNanos = static_cast<std::uint32_t>(reader.number(999'999'999));
    state.target = reader.text();
    state.major = reader.number32();
    state.minor = reader.number32();
    return state;
}

ChangeKind readKind(Reader &reader)
{
    return static_cast<ChangeKind>(reader.number(static_cast<std::uint64_t>(ChangeKind::Metadata)));
}

Error unreadable() { return {Code::Corrupt, "the helper's messages cannot be read"}; }

} // namespace

void Reporter::send(std::uint32_t kind, std::string_view body)
{
    const std::uint32_t head[2] = {kind, static_cast<std::uint32_t>(body.size())};
    m_buffer.append(reinterpret_cast<const char *>(head), sizeof head).append(body);
    if (m_buffer.size() >= kWriteFrom)
        flush();
}

void Reporter::flush()
{
    (void)files::writeAll(m_pipe, m_buffer); // see the header
    m_buffer.clear();
}

void Reporter::opened()
{
    send(kOpened, {});
    flush();
}

void Reporter::change(const Change &change)
{
    m_counts.add(change.kind);
    Writer writer;
    writer.number(static_cast<std::uint64_t>(change.kind)).text(change.path).number(change.aspects);
    write(writer, change.before);
    write(writer, change.after);
    if (m_listed >= kMostChanges || m_text + writer.bytes().size() > kMostText)
        return;
    ++m_listed;
    m_text += writer.bytes().size();
    send(kChange, writer.bytes());
}

void Reporter::warning(const std::string &text)
{
    if (++m_warnings < kMostWarnings)
        send(kWarning, std::string_view(text).substr(0, 4096));
    else if (m_warnings == kMostWarnings)
        send(kWarning, "more could not be compared");
}

void Reporter::packages(Packages packages)
{
    if (packages.changes.size() > kMostPackageChanges) {
        packages.note = "only " + std::to_string(kMostPackageChanges) + " of " +
                        std::to_string(packages.changes.size()) + " changes are listed";
        packages.changes.resize(kMostPackageChanges);
    }
    send(kPackages, Writer().text(packages.manager).text(packages.note).bytes());
    for (const PackageChange &change : packages.changes)
        send(kPackage, Writer()
                           .number(static_cast<std::uint64_t>(change.kind))
                           .text(change.name)
                           .text(change.architecture)
                           .text(change.before)
                           .text(change.after)
                           .bytes());
}

void Reporter::failed(const Error &error)
{
    send(kFailed, Writer()
                      .number(static_cast<std::uint64_t>(error.code))
                      .number(static_cast<std::uint64_t>(error.errnum))
                      .text(std::string_view(error.message).substr(0, 64 * 1024))
                      .bytes());
    flush();
}

void Reporter::done()
{
    send(kDone, Writer()
                    .number(m_counts.added)
                    .number(m_counts.modified)
                    .number(m_counts.deleted)
                    .number(m_counts.metadata)
                    .bytes());
    flush();
}

Status ReportReader::feed(const char *data, std::size_t size)
{
    m_buffer.append(data, size);
    std::size_t at = 0;
    std::uint32_t head[2];
    while (m_buffer.size() - at >= sizeof head) {
        std::memcpy(head, m_buffer.data() + at, sizeof head);
        if (head[1] > kLongestBody)
            return unreadable();
        if (m_buffer.size() - at - sizeof head < head[1])
            break;
        TRY(handle(head[0], std::string_view(m_buffer).substr(at + sizeof head, head[1])));
        at += sizeof head + head[1];
    }
    m_buffer.erase(0, at);
    return {};
}

Status ReportReader::handle(std::uint32_t kind, std::string_view body)
{
    if (m_done || m_error)
        return unreadable();
    m_text += body.size();
    Reader reader(body);
    switch (kind) {
    case kOpened:
        m_opened = true;
        break;
    case kChange: {
        Change change;
        change.kind = readKind(reader);
        change.path = reader.text();
        change.aspects = reader.number32();
        change.before = readState(reader);
        change.after = readState(reader);
        // What each kind promises.
        if (!reader.ok() || (change.kind != ChangeKind::Added) != change.before.has_value() ||
            (change.kind != ChangeKind::Deleted) != change.after.has_value())
            return unreadable();
        m_comparison.changes.push_back(std::move(change));
        break;
    }
    case kWarning:
        m_comparison.warnings.push_back(escaped(body));
        return m_comparison.warnings.size() <= kMostWarnings ? Status() : unreadable();
    case kPackages:
        m_comparison.packages.push_back({reader.text(), {}, {}});
        m_comparison.packages.back().note = reader.text();
        break;
    case kPackage: {
        if (m_comparison.packages.empty())
            return unreadable();
        PackageChange change;
        change.kind = readKind(reader);
        change.name = reader.text();
        change.architecture = reader.text();
        change.before = reader.text();
        change.after = reader.text();
        m_comparison.packages.back().changes.push_back(std::move(change));
        break;
    }
    case kFailed: {
        const auto code = static_cast<Code>(reader.number(static_cast<std::uint64_t>(Code::Usage)));
        const auto errnum = static_cast<int>(reader.number(4095));
        m_error = Error(code, escaped(reader.text()), errnum);
        break;
    }
    case kDone:
        m_comparison.counts = {reader.number(), reader.number(), reader.number(), reader.number()};
        m_done = true;
        break;
    default:
        return unreadable();
    }
    const bool bounded = m_text <= 4 * kMostText && m_comparison.changes.size() <= kMostChanges &&
                         m_comparison.packages.size() <= 16;
    return reader.ok() && bounded ? Status() : unreadable();
}

} // namespace lxmgr::diff
