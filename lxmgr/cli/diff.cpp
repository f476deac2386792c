// diff: what has changed in an instance.
#include "cli/handlers.h"

#include "api/diff.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/snapshots.h"
#include "http/target.h"

#include <algorithm>

namespace lxmgr::cli
{

namespace
{

/// The bytes themselves, safe on a terminal.
std::string shown(const std::string &text, const std::string &raw)
{
    const auto bytes = raw.empty() ? Result<std::string>(text) : http::percentDecode(raw);
    return escaped(bytes ? *bytes : text);
}

char letterOf(std::string_view change)
{
    return change == "added" ? 'A' : change == "modified" ? 'M' : change == "deleted" ? 'D' : 'm';
}

std::string sizeOf(const api::DiffState &state) { return humanBytes({state.size}); }

/// What a file is, in a word or two: "12B", "directory", "symlink to /bin/sh".
std::string describe(const api::DiffState &state)
{
    if (state.type == "file")
        return sizeOf(state);
    if (state.type == "symlink")
        return "symlink to " + shown(state.target, state.targetRaw);
    return state.type + (state.device.empty() ? "" : " " + state.device);
}

/// One thing that differs: "mode 0644 -> 0600".
std::string difference(const std::string &what, const api::DiffState &before, const api::DiffState &after)
{
    const auto arrow = [](const std::string &from, const std::string &to) { return from + " -> " + to; };
    const auto owner = [](const api::DiffState &state) {
        return std::to_string(state.uid) + ":" + std::to_string(state.gid);
    };
    if (what == "type" && (before.type == "file" || after.type == "file"))
        return arrow(before.type == "file" ? "file" : describe(before), after.type == "file" ? "file" : describe(after));
    if (what == "type" || what == "target" || what == "device")
        return arrow(describe(before), describe(after));
    if (what == "content")
        return before.size == after.size ? sizeOf(after) : arrow(sizeOf(before), sizeOf(after));
    if (what == "mode")
        return "mode " + arrow(before.mode, after.mode);
    if (what == "owner")
        return "owner " + arrow(owner(before), owner(after));
    return what;
}

std::string lineOf(const api::DiffChange &change)
{
    std::string line = std::string(1, letterOf(change.change)) + "  " + shown(change.path, change.pathRaw);
    std::vector<std::string> details;
    if (change.before && change.after) {
        for (const std::string &what : change.what)
            if (what != "time" || change.change == "metadata") // a modified file's has changed, of course
                details.push_back(difference(what, *change.before, *change.after));
    } else if (change.before || change.after) {
        details.push_back(describe(change.after ? *change.after : *change.before));
    }
    return details.empty() ? line : line + "  (" + join(details, ", ") + ")";
}

std::string lineOf(const api::DiffPackage &package)
{
    const std::string name = package.name + (package.architecture.empty() ? "" : " (" + package.architecture + ")");
    const std::string versions = package.before.empty()  ? package.after
                                 : package.after.empty() ? package.before
                                                         : package.before + " -> " + package.after;
    return escaped(std::string(1, letterOf(package.change)) + "  " + name + " " + versions);
}

std::string sideOf(const api::DiffSide &side)
{
    if (side.kind == "current")
        return "now";
    return side.kind + " " + escaped(side.kind == "image" ? side.name.substr(0, 12) : side.name);
}

std::string summary(const api::DiffCounts &counts)
{
    if (counts.added + counts.modified + counts.deleted + counts.metadata == 0)
        return "no file differs";
    return std::to_string(counts.added) + " added, " + std::to_string(counts.modified) + " modified, " +
           std::to_string(counts.deleted) + " deleted, " + std::to_string(counts.metadata) + " metadata only";
}

void printFiles(Context &context, const api::Diff &diff)
{
    for (const api::DiffChange &change : diff.changes)
        context.printLine(lineOf(change));
    context.printLine(sideOf(diff.from) + " -> " + sideOf(diff.to) + ": " + summary(diff.counts) +
                      (diff.truncated ? " (not all are listed)" : ""));
}

void printPackages(Context &context, const api::DiffPackages &packages)
{
    const bool same = packages.changes.empty() && packages.note.empty();
    context.printLine("packages (" + escaped(packages.manager) + "):" + (same ? " none differs" : ""));
    for (const api::DiffPackage &package : packages.changes)
        context.printLine(lineOf(package));
    if (!packages.note.empty())
        context.printLine("  " + escaped(packages.note));
}

} // namespace

Result<int> diff(Context &context, const Arguments &arguments)
{
    std::vector<std::string> words = arguments.words;
    if (const auto snapshot = snapshotWord(words.front()); snapshot && words.size() < 3) {
        words.insert(words.begin() + 1, snapshot->snapshot);
        words.front() = snapshot->instance;
    }
    client::Parameters parameters;
    if (words.size() > 1)
        parameters.emplace_back("from", words[1]);
    if (words.size() > 2)
        parameters.emplace_back("to", words[2]);
    const client::Answer answer = TRY(context.client().request("GET", TRY(instancePath(words.front(), "diff")), {}, parameters));
    if (arguments.has("json")) {
        TRY(printJson(context, Format::Json, answer.metadata));
        return 0;
    }
    const api::Diff diff = TRY(client::Client::parse<api::Diff>(answer.metadata));
    for (const std::string &warning : diff.warnings)
        context.warn(escaped(warning));
    if (!arguments.has("packages"))
        printFiles(context, diff);
    for (const api::DiffPackages &packages : diff.packages)
        printPackages(context, packages);
    if (arguments.has("packages") && diff.packages.empty())
        context.printLine("no package database of dpkg, rpm or apk is in this instance");
    return 0;
}

} // namespace lxmgr::cli
