#include "api/routes.h"

#include <algorithm>
#include <cctype>

namespace lxmgr::api
{

namespace
{
struct VerbName {
    Verb verb;
    std::string_view name;
};
constexpr VerbName kVerbs[] = {
    {Verb::Get, "GET"}, {Verb::Head, "HEAD"},   {Verb::Post, "POST"},
    {Verb::Put, "PUT"}, {Verb::Patch, "PATCH"}, {Verb::Delete, "DELETE"},
};

struct FamilyName {
    InstanceFamily family;
    std::string_view name;
};
constexpr FamilyName kFamilies[] = {
    {InstanceFamily::Instances, "instances"},
    {InstanceFamily::Containers, "containers"},
    {InstanceFamily::VirtualMachines, "virtual-machines"},
};

/// Takes the first segment off "/a/{b}/c"; "" at the end.
std::string_view nextSegment(std::string_view &pattern)
{
    if (pattern.empty())
        return {};
    pattern.remove_prefix(1); // the slash
    const std::size_t slash = pattern.find('/');
    const std::string_view segment = pattern.substr(0, slash);
    pattern = slash == std::string_view::npos ? std::string_view() : pattern.substr(slash);
    return segment;
}

bool isParam(std::string_view segment) { return segment.starts_with('{'); }
bool isRest(std::string_view segment) { return segment.ends_with("...}"); }
std::string_view paramName(std::string_view segment)
{
    return segment.substr(1, segment.size() - (isRest(segment) ? 5 : 2));
}

std::string joined(std::span<const std::string> segments)
{
    std::string text;
    for (const std::string &segment : segments)
        text.append(text.empty() ? "" : "/").append(segment);
    return text;
}

/// How well `pattern` fits: -1 not at all, else the number of literal segments.
int fit(std::string_view pattern, std::span<const std::string> segments, std::string_view instancesWord)
{
    int literals = 0;
    std::size_t at = 0;
    for (std::string_view segment = nextSegment(pattern); !segment.empty(); segment = nextSegment(pattern), ++at) {
        if (at >= segments.size())
            return -1;
        if (isParam(segment)) {
            if (isRest(segment))
                return literals;
            if (segments[at].find('/') != std::string::npos)
                return -1; // "%2F" belongs to a rest only
            continue;
        }
        if (segments[at] != segment && !(at == 1 && segment == "instances" && segments[at] == instancesWord))
            return -1;
        ++literals;
    }
    return at == segments.size() ? literals : -1;
}

void fillParams(std::string_view pattern, std::span<const std::string> segments, Match &match)
{
    std::size_t at = 0;
    for (std::string_view segment = nextSegment(pattern); !segment.empty(); segment = nextSegment(pattern), ++at) {
        if (isRest(segment))
            match.params.emplace_back(paramName(segment), joined(segments.subspan(at)));
        else if (isParam(segment))
            match.params.emplace_back(paramName(segment), segments[at]);
    }
}

InstanceFamily familyOf(std::span<const std::string> segments)
{
    if (segments.size() > 1 && segments[0] == "1.0")
        for (const FamilyName &row : kFamilies)
            if (segments[1] == row.name)
                return row.family;
    return InstanceFamily::Instances;
}
} // namespace

std::string_view verbName(Verb verb)
{
    for (const VerbName &row : kVerbs)
        if (row.verb == verb)
            return row.name;
    return {};
}

std::optional<Verb> parseVerb(std::string_view method)
{
    for (const VerbName &row : kVerbs)
        if (row.name == method)
            return row.verb;
    return std::nullopt;
}

std::string_view familyName(InstanceFamily family)
{
    for (const FamilyName &row : kFamilies)
        if (row.family == family)
            return row.name;
    return {};
}

Miss matchRoute(std::string_view method, std::span<const std::string> segments, Match &match)
{
    const std::optional<Verb> verb = parseVerb(method);
    const InstanceFamily family = familyOf(segments);
    const std::string_view word = familyName(family);
    const Route *best = nullptr;
    const Route *spare = nullptr; // GET, for HEAD
    int bestFit = -1, spareFit = -1, pathFit = -1;
    for (const Route &candidate : kRoutes) {
        const int score = fit(candidate.pattern, segments, word);
        pathFit = std::max(pathFit, score);
        if (verb == candidate.verb && score > bestFit) {
            best = &candidate;
            bestFit = score;
        }
        if (verb == Verb::Head && candidate.verb == Verb::Get && score > spareFit) {
            spare = &candidate;
            spareFit = score;
        }
    }
    if (pathFit < 0)
        return Miss::NoPath;
    // The best path decides, else "DELETE /1.0/images/aliases" would delete an image named "aliases".
    match.route = bestFit == pathFit ? best : spareFit == pathFit ? spare : nullptr;
    if (!match.route)
        return Miss::NoVerb;
    match.family = family;
    fillParams(match.route->pattern, segments, match);
    return Miss::None;
}

std::string routePath(RouteId id, std::initializer_list<std::string_view> values)
{
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string path;
    auto value = values.begin();
    std::string_view pattern = route(id).pattern;
    for (std::string_view segment = nextSegment(pattern); !segment.empty(); segment = nextSegment(pattern)) {
        path += '/';
        if (!isParam(segment)) {
            path += segment;
            continue;
        }
        const std::string_view text = value == values.end() ? std::string_view() : *value++;
        for (const char c : text) {
            const auto byte = static_cast<unsigned char>(c);
            if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') {
                path += c;
            } else {
                path += '%';
                path += kDigits[byte >> 4];
                path += kDigits[byte & 15];
            }
        }
    }
    return path.empty() ? "/" : path;
}

} // namespace lxmgr::api
