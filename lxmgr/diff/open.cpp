// From the names of two states to descriptors of their trees: before anything of theirs is looked at.
#include "base/text.h"
#include "diff/run.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

#include <algorithm>

namespace lxmgr::diff
{

namespace
{

/// "--before" and "--after" begin a side; what follows is about it.
struct SideName {
    const char *argument;
    Place Job::*place;
    int descriptor;
};
constexpr SideName kSides[] = {
    {"--before", &Job::before, kBeforeFd},
    {"--after",  &Job::after,  kAfterFd },
};

constexpr std::string_view kDirectory = "directory=", kLayer = "layer=", kMounted = "mounted=";

Status parseArgument(std::string_view argument, const SideName &side, Job &job)
{
    Place &place = job.*side.place;
    if (argument.starts_with(kDirectory)) {
        place.directory = argument.substr(kDirectory.size());
    } else if (argument.starts_with(kLayer)) {
        place.layers.emplace_back(argument.substr(kLayer.size()));
    } else if (argument.starts_with(kMounted)) {
        const std::vector<std::string> ids = split(argument.substr(kMounted.size()), ':');
        if (ids.size() != 2)
            return Error(Code::Usage, "mounted=BASE:COUNT");
        place.mounted = Fd(side.descriptor);
        place.ids.base = static_cast<std::uint32_t>(TRY(parseUnsigned(ids[0], 0, UINT32_MAX)));
        place.ids.count = static_cast<std::uint32_t>(TRY(parseUnsigned(ids[1], 0, UINT32_MAX)));
    } else {
        return Error(Code::Usage, "argument " + quoted(argument) + " is not known");
    }
    return {};
}

Result<Tree> openPlace(const Place &place)
{
    if (place.mounted) // a descriptor that only paths can start from
        return Tree{TRY(sys::openat(place.mounted, ".", O_RDONLY | O_DIRECTORY)), place.ids};
    return Tree{TRY(mount::openLayers(place.layers.empty() ? std::span(&place.directory, 1) : std::span(place.layers))), {}};
}

/// The layers of both that are not at the bottom of both; nullopt where they have none in common.
std::optional<std::vector<std::string>> layersAbove(const std::vector<std::string> &one,
                                                    const std::vector<std::string> &other)
{
    const auto [above, otherAbove] = std::mismatch(one.rbegin(), one.rend(), other.rbegin(), other.rend());
    if (above == one.rbegin())
        return std::nullopt;
    std::vector<std::string> layers(above, one.rend());
    layers.insert(layers.end(), otherAbove, other.rend());
    return layers;
}

} // namespace

std::vector<std::string> argumentsOf(const Job &job)
{
    std::vector<std::string> arguments;
    for (const SideName &side : kSides) {
        const Place &place = job.*side.place;
        arguments.emplace_back(side.argument);
        if (!place.directory.empty())
            arguments.push_back(std::string(kDirectory) + place.directory);
        for (const std::string &layer : place.layers)
            arguments.push_back(std::string(kLayer) + layer);
        if (place.mounted)
            arguments.push_back(std::string(kMounted) + std::to_string(place.ids.base) + ":" +
                                std::to_string(place.ids.count));
    }
    return arguments;
}

Status parseArguments(std::span<char *const> arguments, Job &job)
{
    const SideName *side = nullptr;
    for (const std::string_view argument : arguments) {
        if (const auto *named = std::ranges::find(kSides, argument, &SideName::argument); named != std::end(kSides))
            side = named;
        else if (side)
            TRY(parseArgument(argument, *side, job));
    }
    for (const SideName &one : kSides)
        if ((job.*one.place).directory.empty() && (job.*one.place).layers.empty())
            return Error(Code::Usage, std::string(one.argument) + " directory=…|layer=… [mounted=BASE:COUNT]");
    return {};
}

Result<Trees> open(const Job &job)
{
    Trees trees;
    trees.before = TRY_IN("the older state", openPlace(job.before));
    trees.after = TRY_IN("the newer state", openPlace(job.after));
    if (const auto above = layersAbove(job.before.layers, job.after.layers)) {
        trees.layers.emplace();
        for (const std::string &layer : *above)
            trees.layers->push_back(TRY(mount::openLayers(std::span(&layer, 1))));
    }
    return trees;
}

} // namespace lxmgr::diff
