#include "instances/migration.h"

#include "base/text.h"
#include "base/types.h"
#include "instances/journal.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::string_view kInstanceForm = "lxmgr-migration ", kVolumeForm = "lxmgr-volume-migration ";
constexpr std::string_view kVersion = "1";
constexpr std::size_t kLongestVersion = 8;
constexpr std::size_t kLongestWords = 32 << 20;
constexpr std::size_t kMostSnapshots = 100'000;
constexpr auto kQuiet = std::chrono::minutes(10);
constexpr auto kLastWords = std::chrono::seconds(5);

enum Word : std::uint64_t { kOffer = 1, kAsk, kSent, kDone, kFailed };

Error otherForm()
{
    return Error(Code::Unsupported, "the other server is no lxmgr: LXD and Incus hand instances and volumes over in forms of their own")
        .hint("export it there and import it here: lxmgr import reads what lxc export and incus export write, and they read what lxmgr export writes");
}

Error gone() { return {Code::Unavailable, "the other server has ended the transfer"}; }

void putMap(PieceWriter &pieces, const StringMap &map)
{
    pieces.number(map.size());
    for (const auto &[key, value] : map) {
        pieces.text(key);
        pieces.text(value);
    }
}

Result<StringMap> takeMap(PieceReader &pieces)
{
    StringMap map;
    for (std::uint64_t left = TRY(pieces.number()); left > 0; --left) {
        std::string key = TRY(pieces.text());
        map[std::move(key)] = TRY(pieces.text());
    }
    return map;
}

void putDevices(PieceWriter &pieces, const DeviceMap &devices)
{
    pieces.number(devices.size());
    for (const auto &[name, keys] : devices) {
        pieces.text(name);
        putMap(pieces, keys);
    }
}

Result<DeviceMap> takeDevices(PieceReader &pieces)
{
    DeviceMap devices;
    for (std::uint64_t left = TRY(pieces.number()); left > 0; --left) {
        std::string name = TRY(pieces.text());
        devices[std::move(name)] = TRY(takeMap(pieces));
    }
    return devices;
}

void putSnapshot(PieceWriter &pieces, const store::Snapshot &row)
{
    for (const std::string *text : {&row.name, &row.description, &row.architecture, &row.schedule})
        pieces.text(*text);
    for (const std::int64_t number : {std::int64_t(row.ephemeral), row.createdAt, row.expiresAt})
        pieces.number(static_cast<std::uint64_t>(number));
    putMap(pieces, row.config);
    putDevices(pieces, row.devices);
    putMap(pieces, row.expandedConfig);
    putDevices(pieces, row.expandedDevices);
    pieces.texts(row.profiles);
}

Result<store::Snapshot> takeSnapshot(PieceReader &pieces)
{
    store::Snapshot row;
    for (std::string *text : {&row.name, &row.description, &row.architecture, &row.schedule})
        *text = TRY(pieces.text());
    row.ephemeral = TRY(pieces.number()) != 0;
    row.createdAt = static_cast<std::int64_t>(TRY(pieces.number()));
    row.expiresAt = static_cast<std::int64_t>(TRY(pieces.number()));
    row.config = TRY(takeMap(pieces));
    row.devices = TRY(takeDevices(pieces));
    row.expandedConfig = TRY(takeMap(pieces));
    row.expandedDevices = TRY(takeDevices(pieces));
    row.profiles = TRY(pieces.texts());
    return row;
}

Result<Offer> readOffer(std::string_view bytes)
{
    PieceReader pieces(bytes);
    Offer offer;
    for (std::string *text : {&offer.server, &offer.project, &offer.name, &offer.snapshot, &offer.image, &offer.metadata})
        *text = TRY(pieces.text());
    offer.createdAt = static_cast<std::int64_t>(TRY(pieces.number()));
    const std::uint64_t count = TRY(pieces.number());
    if (count > kMostSnapshots)
        return Error(Code::Invalid, "the other server offers " + std::to_string(count) + " snapshots");
    for (std::uint64_t i = 0; i < count; ++i) {
        offer.snapshots.push_back(TRY(takeSnapshot(pieces)));
        TRY_IN("the other server", checkObjectName("snapshot", offer.snapshots.back().name));
    }
    for (std::uint64_t left = TRY(pieces.number()); left > 0; --left) {
        std::string name = TRY(pieces.text());
        TRY_IN("the other server", checkObjectName("template", name));
        offer.templates.emplace_back(std::move(name), TRY(pieces.text()));
    }
    return offer;
}

Error readError(std::string_view bytes)
{
    PieceReader pieces(bytes);
    const auto code = pieces.text();
    const auto message = code ? pieces.text() : Result<std::string>(code.error());
    if (!message)
        return {Code::Unavailable, "the other server has failed"};
    const auto *const info = std::ranges::find(kCodes, *code, &CodeInfo::name);
    return {info == std::end(kCodes) ? Code::Internal : info->code, "the other server: " + escaped(*message)};
}

} // namespace

Status MigrationLine::put(std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t sent = ::send(m_socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EPIPE || errno == ECONNRESET ? gone() : Error::fromErrno(errno, "send");
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

/// Until the other side says something.
Status MigrationLine::await(std::chrono::steady_clock::time_point deadline) const
{
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        pollfd waits[] = {{m_socket.get(), POLLIN, 0}, {m_cancelFd, POLLIN, 0}};
        const int ready = ::poll(waits, std::size(waits), static_cast<int>(std::max<std::int64_t>(left, 0)));
        if (ready < 0 && errno != EINTR)
            return Error::fromErrno(errno, "poll");
        if (ready > 0 && waits[1].revents != 0)
            return Error(Code::Cancelled, "the transfer was cancelled");
        if (ready > 0)
            return {};
        if (ready == 0)
            return Error(Code::Timeout, "the other server has said nothing for too long");
    }
}

Status MigrationLine::get(char *bytes, std::size_t size)
{
    const auto deadline = std::chrono::steady_clock::now() + kQuiet;
    while (size > 0) {
        TRY(await(deadline));
        const ssize_t got = ::recv(m_socket.get(), bytes, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return gone();
        bytes += got;
        size -= static_cast<std::size_t>(got);
    }
    return {};
}

const std::string &serverId()
{
    static const std::string id = newUuid();
    return id;
}

Status MigrationLine::greet(Carried what)
{
    const std::string_view form = what == Carried::Instance ? kInstanceForm : kVolumeForm;
    TRY(put(std::string(form) + std::string(kVersion) + "\n"));
    for (const char expected : form) {
        char c = 0;
        if (const Status got = get(&c, 1); !got)
            return got.error().code == Code::Unavailable ? Error(got.error()).hint("is it an lxmgr? LXD and Incus hang up on one") : got.error();
        if (c != expected)
            return otherForm();
    }
    std::string version;
    for (char c = 0; version.size() < kLongestVersion; version.push_back(c)) {
        TRY(get(&c, 1));
        if (c == '\n')
            break;
    }
    if (version == kVersion)
        return {};
    return Error(Code::Unsupported, "the other server hands over in form " + quoted(escaped(version)) + ", this one in form " + quoted(kVersion))
        .hint("bring both to the same version of lxmgr");
}

Status MigrationLine::say(std::uint64_t word, std::string_view pieces)
{
    PieceWriter head;
    head.number(word);
    head.number(pieces.size());
    return put(std::move(head).take().append(pieces));
}

Result<std::pair<std::uint64_t, std::string>> MigrationLine::hear()
{
    char head[16];
    TRY(get(head, sizeof head));
    PieceReader pieces(std::string_view(head, sizeof head));
    const std::uint64_t word = TRY(pieces.number()), size = TRY(pieces.number());
    if (word < kOffer || word > kFailed || size > kLongestWords)
        return Error(Code::Invalid, "the other server says what nobody understands");
    std::string text(size, '\0');
    TRY(get(text.data(), text.size()));
    if (word == kFailed)
        return readError(text);
    return std::pair(word, std::move(text));
}

Status MigrationLine::offer(const Offer &offer)
{
    PieceWriter pieces;
    for (const std::string *text : {&offer.server, &offer.project, &offer.name, &offer.snapshot, &offer.image, &offer.metadata})
        pieces.text(*text);
    pieces.number(static_cast<std::uint64_t>(offer.createdAt));
    pieces.number(offer.snapshots.size());
    for (const store::Snapshot &snapshot : offer.snapshots)
        putSnapshot(pieces, snapshot);
    pieces.number(offer.templates.size());
    for (const auto &[name, text] : offer.templates) {
        pieces.text(name);
        pieces.text(text);
    }
    const std::string bytes = std::move(pieces).take();
    if (bytes.size() > kLongestWords)
        return Error(Code::Unsupported, quoted(offer.name) + " has more snapshots than can be told of at once")
            .hint("delete some, or leave them out: --instance-only, --volume-only");
    return say(kOffer, bytes);
}

Result<Offer> MigrationLine::takeOffer()
{
    const auto [word, text] = TRY(hear());
    if (word != kOffer)
        return Error(Code::Invalid, "the other server offers nothing");
    auto offer = readOffer(text);
    return offer || offer.error().code != Code::Corrupt ? std::move(offer) : Error(Code::Invalid, "the other server's offer cannot be read");
}

Status MigrationLine::ask(const Asked &asked)
{
    PieceWriter pieces;
    pieces.text(asked.state);
    pieces.text(asked.before.value_or(""));
    return say(kAsk, std::move(pieces).take());
}

Status MigrationLine::sent() { return say(kSent); }

Status MigrationLine::awaitSent()
{
    if (TRY(hear()).first != kSent)
        return Error(Code::Invalid, "the other server says what was not asked");
    return {};
}

Result<std::optional<Asked>> MigrationLine::nextAsked()
{
    const auto [word, text] = TRY(hear());
    if (word == kDone)
        return std::optional<Asked>();
    if (word != kAsk)
        return Error(Code::Invalid, "the other server says what was not asked");
    PieceReader pieces(text);
    Asked asked{TRY(pieces.text()), {}};
    if (std::string before = TRY(pieces.text()); !before.empty())
        asked.before = std::move(before);
    return std::optional(std::move(asked));
}

Status MigrationLine::done() { return say(kDone); }

void MigrationLine::fail(const Error &error)
{
    PieceWriter pieces;
    pieces.text(codeInfo(error.code).name);
    pieces.text(error.message);
    (void)say(kFailed, std::move(pieces).take()); // it may have gone, or have said so first
}

Error MigrationLine::reasonFor(Error own)
{
    if (own.code != Code::Unavailable)
        return own;
    if (!await(std::chrono::steady_clock::now() + kLastWords))
        return own;
    const auto heard = hear();
    return heard || heard.error().code == Code::Unavailable ? own : heard.error();
}

} // namespace lxmgr::instances
