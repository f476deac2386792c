#include "store/id_ranges.h"

#include "base/text.h"
#include "store/statement.h"

#include <algorithm>

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kInsertRange = "INSERT INTO id_ranges (instance_id, base, size) VALUES (?, ?, ?)";
constexpr std::string_view kInsertSlot = "INSERT INTO id_slots (slot, instance_id) VALUES (?, ?)";
constexpr std::string_view kSelectSlots = "SELECT slot FROM id_slots WHERE slot >= 0 ORDER BY slot";
constexpr std::string_view kOwner = "SELECT i.name, s.slot FROM id_slots s JOIN instances i ON i.id = s.instance_id "
                                    "WHERE s.slot BETWEEN ? AND ? ORDER BY s.slot LIMIT 1";

// Slots count from the usual base, so that a range asked for by number and one given out never meet unseen.
constexpr std::int64_t kSlotOrigin = 1'000'000;
// 65534 is "nobody", 2^32-1 is "no id" (-1) in every system call.
constexpr std::uint64_t kLastId = 0xFFFFFFFE;

std::int64_t slotOf(std::uint64_t id)
{
    const std::int64_t offset = static_cast<std::int64_t>(id) - kSlotOrigin;
    return offset >= 0 ? offset / kIdRangeSize : -((-offset + kIdRangeSize - 1) / kIdRangeSize);
}

struct Span {
    std::uint64_t first = 0, last = 0; ///< Both belong to it.
};

bool overlap(const Span &span, const IdRange &range)
{
    return span.first < std::uint64_t{range.base} + range.size && range.base <= span.last;
}

/// "name:first:count", as subuid(5) and subgid(5) have it.
std::optional<IdRange> parseSubordinate(const std::string &line)
{
    const std::vector<std::string> parts = split(trimmed(line), ':');
    if (parts.size() != 3 || line.starts_with('#') || parts[0] == "root" || parts[0] == "0" || parts[0] == "lxmgr")
        return std::nullopt;
    const auto first = parseUnsigned(parts[1], 0, kLastId);
    const auto count = parseUnsigned(parts[2], 1);
    if (!first || !count)
        return std::nullopt;
    return IdRange{static_cast<std::uint32_t>(*first),
                   static_cast<std::uint32_t>(std::min(*count, kLastId - *first + 1))};
}

/// The id is the third field of passwd(5) and of group(5).
std::optional<IdRange> parseOwnId(const std::string &line)
{
    const std::vector<std::string> parts = split(line, ':');
    const auto id = parts.size() >= 3 ? parseUnsigned(parts[2], 0, kLastId) : Result<std::uint64_t>(Error());
    if (!id)
        return std::nullopt;
    return IdRange{static_cast<std::uint32_t>(*id), 1};
}

void collect(std::vector<IdRange> &out, std::string_view text, std::optional<IdRange> (*parse)(const std::string &))
{
    for (const std::string &line : split(text, '\n'))
        if (const auto range = parse(line))
            out.push_back(*range);
}

std::vector<IdRange> merged(std::vector<IdRange> ranges)
{
    std::ranges::sort(ranges, {}, &IdRange::base);
    std::vector<IdRange> out;
    for (const IdRange &range : ranges) {
        const std::uint64_t end = std::uint64_t{range.base} + range.size;
        if (out.empty() || range.base > std::uint64_t{out.back().base} + out.back().size) {
            out.push_back(range);
            continue;
        }
        out.back().size = static_cast<std::uint32_t>(std::max(end, std::uint64_t{out.back().base} + out.back().size) -
                                                     out.back().base);
    }
    return out;
}

const IdRange *promised(const IdPool &pool, const Span &span)
{
    const auto found = std::ranges::find_if(pool.taken, [&](const IdRange &range) { return overlap(span, range); });
    return found == pool.taken.end() ? nullptr : &*found;
}

/// First id of the lowest run of free slots that is long enough; `used` sorted.
Result<std::uint32_t> findFree(const IdPool &pool, const std::vector<std::int64_t> &used, std::uint32_t size)
{
    const std::uint64_t end = std::uint64_t{pool.base} + pool.count;
    const std::int64_t slots = (std::int64_t{size} + kIdRangeSize - 1) / kIdRangeSize;
    auto next = used.begin();
    std::int64_t slot = slotOf(std::uint64_t{pool.base} + kIdRangeSize - 1); // the first that lies wholly inside
    for (;;) {
        const std::uint64_t first = static_cast<std::uint64_t>(kSlotOrigin + slot * kIdRangeSize);
        if (first + size > end)
            return Error(Code::NoSpace, "no free range of " + std::to_string(size) + " host ids from " +
                                            std::to_string(pool.base) + " to " + std::to_string(end - 1))
                .hint("delete instances, or take entries out of /etc/subuid and /etc/subgid");
        while (next != used.end() && *next < slot)
            ++next;
        if (next != used.end() && *next < slot + slots) {
            slot = *next + 1;
            continue;
        }
        const IdRange *other = promised(pool, {first, first + size - 1});
        if (other == nullptr)
            return static_cast<std::uint32_t>(first);
        slot = std::max(slot + 1, slotOf(std::uint64_t{other->base} + other->size - 1) + 1);
    }
}

Result<std::vector<std::int64_t>> usedSlots(Database &db)
{
    Statement row = TRY(query(db, kSelectSlots));
    std::vector<std::int64_t> used;
    while (TRY(row.next()))
        used.push_back(row.integer(0));
    return used;
}

Status checkWanted(Database &db, const IdPool &pool, std::uint32_t base, std::uint32_t size)
{
    const Span span{base, std::uint64_t{base} + size - 1};
    const std::string title = "host ids " + std::to_string(span.first) + " to " + std::to_string(span.last);
    if (base < kIdRangeSize || span.last > kLastId)
        return Error(Code::Invalid, title + " cannot be a guest's (65536 to 4294967294)");
    if (const IdRange *other = promised(pool, span))
        return Error(Code::Invalid, title + " are in use by the host or promised to somebody else, from " +
                                        std::to_string(other->base) +
                                        " (/etc/passwd, /etc/group, /etc/subuid, /etc/subgid)");
    Statement row = TRY(query(db, kOwner, slotOf(span.first), slotOf(span.last)));
    if (TRY(row.next()))
        return Error(Code::AlreadyExists, title + " meet those of instance " + quoted(row.text(0)));
    return {};
}

Status record(Database &db, std::int64_t instanceId, const IdRange &range)
{
    TRY(run(db, kInsertRange, instanceId, range.base, range.size));
    const std::int64_t last = slotOf(std::uint64_t{range.base} + range.size - 1);
    for (std::int64_t slot = slotOf(range.base); slot <= last; ++slot)
        TRY(run(db, kInsertSlot, slot, instanceId));
    return {};
}

} // namespace

IdPool IdPool::fromHost(std::string_view subuid, std::string_view subgid, std::string_view passwd,
                        std::string_view group)
{
    IdPool pool;
    std::vector<IdRange> ranges;
    collect(ranges, subuid, &parseSubordinate);
    collect(ranges, subgid, &parseSubordinate);
    collect(ranges, passwd, &parseOwnId);
    collect(ranges, group, &parseOwnId);
    pool.taken = merged(std::move(ranges));
    return pool;
}

Result<IdRange> allocateIdRange(Database &db, std::int64_t instanceId, const IdPool &pool, std::uint32_t size,
                                std::optional<std::uint32_t> base)
{
    if (size < kIdRangeSize)
        return Error(Code::Invalid, "a range of " + std::to_string(size) + " host ids is too small (at least 65536)");
    return db.transaction([&]() -> Result<IdRange> {
        if (base)
            TRY(checkWanted(db, pool, *base, size));
        const IdRange range{base ? *base : TRY(findFree(pool, TRY(usedSlots(db)), size)), size};
        TRY(record(db, instanceId, range));
        return range;
    });
}

Status releaseIdRange(Database &db, std::int64_t instanceId)
{
    return db.transaction([&] { return run(db, "DELETE FROM id_ranges WHERE instance_id=?", instanceId); });
}

} // namespace lxmgr::store
