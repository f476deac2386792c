#include "servers/download.h"

#include "base/text.h"
#include "client/client.h"
#include "client/multipart.h"
#include "http/target.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <poll.h>

namespace lxmgr::servers
{

namespace
{

constexpr int kMostTries = 5; ///< In a row, without a byte more.
constexpr std::uint64_t kLongestRefusal = 1 << 20;
constexpr int kFirstPause = 250; ///< ms; doubled each time.

/// "rootfs: 45% (12.30MB/s)", a few times a second.
class Meter
{
public:
    Meter(Progress &progress, std::uint64_t total, std::uint64_t had) : m_progress(progress), m_total(total), m_had(had), m_now(had) {}
    void add(std::size_t bytes)
    {
        m_now += bytes;
        const auto now = Clock::now();
        if (now - m_told < std::chrono::milliseconds(200))
            return;
        m_told = now;
        const double seconds = std::chrono::duration<double>(now - m_start).count();
        char text[96];
        const double speed = seconds > 0 ? static_cast<double>(m_now - std::min(m_had, m_now)) / seconds / 1e6 : 0;
        if (m_total > 0)
            std::snprintf(text, sizeof text, "rootfs: %d%% (%.2fMB/s)", static_cast<int>(std::min<std::uint64_t>(100, m_now * 100 / m_total)), speed);
        else
            std::snprintf(text, sizeof text, "rootfs: %.2fMB (%.2fMB/s)", static_cast<double>(m_now) / 1e6, speed);
        m_progress.report(text);
    }
    void restart() { m_now = 0; }

private:
    using Clock = std::chrono::steady_clock;
    Progress &m_progress;
    std::uint64_t m_total, m_had, m_now;
    Clock::time_point m_start = Clock::now(), m_told;
};

Error refused(const http::ResponseHead &head, const std::string &path)
{
    const bool missing = head.status == 404 || head.status == 403;
    return {missing ? Code::NotFound : Code::Unavailable, path + ": the server answers with status " + std::to_string(head.status)};
}

/// The first byte of a partial answer: "bytes 100-199/200".
std::optional<std::uint64_t> startOf(const http::ResponseHead &head)
{
    const std::string_view range = head.headers.value("Content-Range");
    if (!range.starts_with("bytes "))
        return std::nullopt;
    const auto start = parseUnsigned(range.substr(6, range.find('-') - 6));
    return start ? std::optional(*start) : std::nullopt;
}

/// Where a part of a form begins, and what must be shown for getting the form from there on: the note that is kept of it.
struct Place {
    std::size_t part = 0;
    std::uint64_t start = 0;
    std::string etag;
    std::string contentType;

    std::string format() const { return std::to_string(part) + "\n" + std::to_string(start) + "\n" + etag + "\n" + contentType; }
    static std::optional<Place> parse(const std::string &note)
    {
        const std::vector<std::string> lines = split(note, '\n');
        if (lines.size() != 4)
            return std::nullopt;
        const auto part = parseUnsigned(lines[0]), start = parseUnsigned(lines[1]);
        return part && start ? std::optional(Place{static_cast<std::size_t>(*part), *start, lines[2], lines[3]}) : std::nullopt;
    }
};

/// One attempt after another at one file, or at the one answer of the API.
class Attempt
{
public:
    /// `had`: what is here of the `most` bytes that the whole image may have.
    Attempt(ImageServer &server, Target &target, Progress &progress, Meter &meter, std::uint64_t had, std::uint64_t most)
        : m_server(server), m_target(target), m_progress(progress), m_meter(meter), m_came(had), m_most(most)
    {
    }

    /// From where the target stands to the end of its file, `expected` bytes long where that is known.
    Status run(const std::string &path, std::optional<std::uint64_t> expected)
    {
        const std::optional<Place> place = expected ? std::nullopt : placeInForm();
        if (!expected && !place && m_target.part() > 0)
            TRY(startAgain()); // of a form that can only come as a whole
        const std::uint64_t from = m_target.received() + (place ? place->start : 0);
        client::Request request;
        request.mostBody = kLongestRefusal;
        if (from > 0)
            request.headers.set("Range", "bytes=" + std::to_string(from) + "-");
        if (place)
            request.headers.set("If-Range", place->etag);
        std::optional<client::FormReader> form;
        Status inside; // what a sink cannot say otherwise
        request.sink = [&](const http::ResponseHead &head) -> client::Sink {
            const std::string_view type = head.headers.value("Content-Type");
            if (type.starts_with("multipart/")) {
                const bool goesOn = place && head.status == 206 && startOf(head) == from && type == place->contentType;
                if (!goesOn && (m_target.part() > 0 || m_target.received() > 0))
                    inside = startAgain(); // it comes from the beginning
                if (inside && !goesOn && head.status == 206)
                    inside = Error(Code::Unavailable, path + ": the server sends another part than the one asked for");
                const auto open = [this, &form, type = std::string(type), etag = std::string(head.headers.value("ETag")),
                                   next = goesOn ? place->part + 1 : 0](const std::string &name, const std::string &) mutable -> Result<client::Sink> {
                    const std::size_t part = next++;
                    if ((part == 0) != (name == "metadata") || (part > 0 && !name.starts_with("rootfs")))
                        return Error(Code::Corrupt, "the image's parts are others than metadata and rootfs");
                    if (part > 0)
                        TRY(m_target.nextPart());
                    if (etag.starts_with('"')) // not a weak one ("W/…"): the same bytes
                        TRY(m_target.setNote(Place{part, form->position(), etag, type}.format()));
                    return contentSink();
                };
                if (goesOn)
                    form.emplace(type, open, contentSink(), from);
                else
                    form.emplace(type, open);
                return [&](std::string_view piece) -> Status {
                    TRY(Status(inside));
                    return form->feed(piece);
                };
            }
            std::uint64_t skip = 0;
            if (head.status == 200)
                skip = from; // it knows no ranges: what is here already comes again
            else if (startOf(head) != from)
                inside = Error(Code::Unavailable, path + ": the server sends another part than the one asked for");
            return [this, &inside, expected, skip](std::string_view piece) mutable -> Status {
                TRY(Status(inside));
                const std::size_t over = static_cast<std::size_t>(std::min<std::uint64_t>(skip, piece.size()));
                skip -= over;
                piece.remove_prefix(over);
                return piece.empty() ? Status() : take(piece, expected);
            };
        };
        const client::Response response = TRY(m_server.site().ask(path, std::move(request)));
        if (response.head.status == 416 && from > 0) {
            TRY(startAgain());
            return Error(Code::Unavailable, path + ": the server has less of it than is here");
        }
        if (response.head.status != 200 && response.head.status != 206)
            return refused(response.head, path);
        TRY(std::move(inside));
        if (form)
            return form->finish();
        if (expected && m_target.received() < *expected)
            return Error(Code::Unavailable, path + " ends before its " + humanBytes(Bytes{*expected}));
        return {};
    }

private:
    client::Sink contentSink()
    {
        return [this](std::string_view piece) { return take(piece, std::nullopt); };
    }

    /// Of what is here of a form, if it can be gone on with.
    std::optional<Place> placeInForm() const
    {
        const auto place = Place::parse(m_target.note());
        return place && place->part == m_target.part() ? place : std::nullopt;
    }

    Status startAgain()
    {
        m_meter.restart();
        m_came = 0;
        return m_target.startAgain();
    }

    Status take(std::string_view piece, std::optional<std::uint64_t> expected)
    {
        if (m_progress.cancelled())
            return Error(Code::Cancelled, "cancelled");
        m_came += piece.size();
        if ((expected && m_target.received() + piece.size() > *expected) || m_came > m_most)
            return Error(Code::Corrupt, "more comes than the " + humanBytes(Bytes{expected.value_or(m_most)}) + " that the server had said");
        m_meter.add(piece.size());
        return m_target.write(piece);
    }

    ImageServer &m_server;
    Target &m_target;
    Progress &m_progress;
    Meter &m_meter;
    std::uint64_t m_came, m_most;
};

/// Until `milliseconds` are over or nobody wants it any more.
void pause(int milliseconds, int cancelFd)
{
    pollfd wait{cancelFd, POLLIN, 0};
    ::poll(&wait, 1, milliseconds); // either way it is looked at what comes next
}

} // namespace

Status download(ImageServer &server, const Offer &offer, Target &target, Progress &progress)
{
    const auto total = static_cast<std::uint64_t>(std::max<std::int64_t>(offer.image.size, 0));
    Meter meter(progress, total, target.ofAll());
    Attempt attempt(server, target, progress, meter, target.ofAll(), total);
    int tries = 0;
    for (;;) {
        if (progress.cancelled())
            return Error(Code::Cancelled, "cancelled");
        const std::size_t part = target.part();
        const std::uint64_t before = target.received();
        Status done;
        if (offer.files.empty())
            done = attempt.run(server.exportPath(offer.image.fingerprint), std::nullopt);
        else if (before < offer.files[part].size)
            done = attempt.run(offer.files[part].path, offer.files[part].size);
        if (done && (offer.files.empty() || part + 1 == offer.files.size()))
            return {};
        if (done) {
            TRY(target.nextPart());
            tries = 0;
            continue;
        }
        if (done.error().code != Code::Unavailable)
            return done;
        const bool further = target.part() == part ? target.received() > before : target.part() > part;
        tries = further ? 1 : tries + 1;
        if (tries == kMostTries || server.needsSecret()) // a secret is good for one time
            return done;
        pause(kFirstPause << tries, server.site().patience().cancelFd);
    }
}

} // namespace lxmgr::servers
