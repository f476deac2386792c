// remote: add, list, remove, rename, switch, get-default, set-url.
#include "api/server.h"
#include "cli/handlers.h"

#include "base/base64.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "client/tunnel.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

struct Listed {
    std::string name;
    Remote remote;
    bool current = false;
};

// clang-format off
constexpr Column<Listed> kColumns[] = {
    {'n', "NAME", "Its name; the one that is meant where none is named is marked.", [](const Listed &l) { return l.name + (l.current ? " (current)" : ""); }},
    {'u', "URL", "Where it is.", [](const Listed &l) { return l.remote.address; }},
    {'p', "PROTOCOL", "lxd, incus or simplestreams.", [](const Listed &l) { return l.remote.protocol; }},
    {'a', "AUTH TYPE", "How it knows this client.", [](const Listed &l) { return std::string(l.remote.isUnix() ? "file access" : l.remote.isPublic ? "none" : "tls"); }},
    {'P', "PUBLIC", "Whether only its public images are asked for.", [](const Listed &l) { return yesNo(l.remote.isPublic); }},
    {'s', "STATIC", "Whether it always stays.", [](const Listed &l) { return yesNo(l.name == kLocalRemote); }},
    {'g', "GLOBAL", "Whether the host's configuration has it, and not the user's.", [](const Listed &) { return yesNo(false); }},
};
constexpr std::string_view kStandard = "nupaPsg";
// clang-format on

/// What `lxmgr config trust add` on the other host prints: base64 of this.
struct Token {
    std::string text;
    std::string clientName, fingerprint, secret;
    std::vector<std::string> addresses;
};

std::optional<Token> readToken(const std::string &word)
{
    const Result<std::string> json = base64Decode(word);
    if (!json || !json->starts_with('{'))
        return std::nullopt;
    const Result<api::Json> object = api::Json::parse(*json);
    if (!object)
        return std::nullopt;
    Token token{word, object->text("client_name"), lower(object->text("fingerprint")), object->text("secret"), {}};
    if (const api::Json *list = object->find("addresses"); list && list->asArray())
        for (const api::Json &address : *list->asArray())
            if (address.asString())
                token.addresses.push_back(*address.asString());
    return token.fingerprint.size() == 64 && !token.secret.empty() ? std::optional(token) : std::nullopt;
}

/// One line from standard input, without what ends it.
Result<std::string> ask(const std::string &question)
{
    std::fputs(question.c_str(), stderr);
    std::string answer;
    for (char c = 0; answer.size() < 16384;) {
        const ssize_t got = ::read(STDIN_FILENO, &c, 1);
        if (got <= 0 && answer.empty())
            return Error(Code::Usage, "there is nobody to answer: standard input has ended");
        if (got <= 0 || c == '\n')
            break;
        answer.push_back(c);
    }
    return std::string(trimmed(answer));
}

Status agreeOnCertificate(const std::string &fingerprint)
{
    std::fputs(("Certificate fingerprint: " + fingerprint + "\n").c_str(), stderr);
    for (int tries = 0; tries < 3; ++tries) {
        const std::string answer = lower(TRY(ask("ok (y/n/[fingerprint])? ")));
        if (answer == "y" || answer == "yes" || answer == fingerprint)
            return {};
        if (answer == "n" || answer == "no")
            return Error(Code::Cancelled, "the certificate was not accepted");
        if (answer.size() == 64)
            return Error(Code::Forbidden, "the host shows another certificate than the one of that fingerprint");
    }
    return Error(Code::Cancelled, "the certificate was not accepted");
}

/// A new remote on its way into the file.
struct Added {
    Remote remote;
    std::string certificate; ///< To be pinned, empty for none.
};

/// The certificate that `url` shows, after it was found to be the one that is meant.
Result<std::string> certificateAt(client::Tunnel &tunnel, const HostPort &end, const std::string &expected, bool accept)
{
    const std::string pem = TRY(tunnel.certificateOf(end.host, end.port));
    const std::string fingerprint = TRY(tunnel.fingerprint(pem));
    if (!expected.empty() && fingerprint != expected)
        return Error(Code::Forbidden, end.host + " shows the certificate " + fingerprint + " and the token is of " + expected);
    if (expected.empty() && !accept)
        TRY(agreeOnCertificate(fingerprint));
    return pem;
}

/// Where the host can be reached, and by which certificate it is known.
Result<Added> reach(client::Tunnel &tunnel, const std::vector<std::string> &addresses, const Arguments &arguments, const std::string &expected)
{
    Error last(Code::Invalid, "the token has no address: its server listens nowhere (core.https_address)");
    for (const std::string &word : addresses) {
        Added added;
        added.remote.protocol = arguments.value("protocol", "lxd");
        added.remote.address = TRY(remoteUrl(word, added.remote.protocol));
        added.remote.isPublic = arguments.has("public");
        if (added.remote.isUnix())
            return added;
        const HostPort end = TRY(hostOf(added.remote.address));
        if (expected.empty()) {
            const Result<Fd> vouched = tunnel.connect({end.host, end.port, {}, {}});
            if (vouched)
                return added;
            if (vouched.error().code != Code::Forbidden) {
                last = vouched.error();
                continue;
            }
        }
        Result<std::string> certificate = certificateAt(tunnel, end, expected, arguments.has("accept-certificate"));
        if (certificate) {
            added.certificate = std::move(*certificate);
            return added;
        }
        last = certificate.error();
        if (expected.empty())
            break; // the user has said no
    }
    return last;
}

/// Makes the server trust our certificate, with a token or what the user types.
Status introduce(client::Client &client, const std::string &name, std::string token)
{
    if (token.empty())
        token = TRY(ask("Token of " + name + ", made there by 'lxmgr config trust add' (or its password): "));
    if (token.empty())
        return Error(Code::Forbidden, name + " does not trust this client").hint("make a token there: lxmgr config trust add <name>");
    api::Json body = api::Json::object();
    body["type"] = "client";
    body["password"] = token;    // LXD, and its passwords
    body["trust_token"] = token; // Incus
    TRY(client.request("POST", "/1.0/certificates", body.dump()));
    return {};
}

/// Whether the server will serve us; makes it where it does not yet.
Status gainTrust(Context &context, const std::string &name, Remote &remote, const std::string &token)
{
    client::Client client = TRY(context.clientOf(name));
    auto server = TRY(client.get<api::Server>("/1.0"));
    remote.isPublic = remote.isPublic || server.isPublic;
    if (remote.isPublic || server.auth == "trusted")
        return {};
    if (std::ranges::find(server.authMethods, "tls") == server.authMethods.end() && !server.authMethods.empty())
        return Error(Code::Unsupported, name + " knows clients by " + join(server.authMethods, ", ") + " only, not by their certificate (tls)");
    TRY(introduce(client, name, token));
    client::Client again = TRY(context.clientOf(name));
    server = TRY(again.get<api::Server>("/1.0"));
    if (server.auth != "trusted")
        return Error(Code::Forbidden, name + " still does not trust this client after it took the token");
    return {};
}

/// "host2" of "host2.example.org:8443".
std::string nameFor(const std::string &address)
{
    std::string name = address.substr(0, address.find_first_of("/:"));
    return isRemoteName(name) ? name : "remote";
}

Status checkNewName(const Remotes &remotes, const std::string &name)
{
    if (!isRemoteName(name))
        return Error(Code::Invalid, quoted(name) + " is no name of a remote: letters, digits, '.', '_' and '-'");
    if (remotes.find(name))
        return Error(Code::AlreadyExists, "remote " + quoted(name) + " already exists").hint("lxmgr remote remove " + name);
    return {};
}

/// "b" or "b:".
std::string nameOfWord(std::string word)
{
    if (word.ends_with(':'))
        word.pop_back();
    return word;
}

} // namespace

ColumnSet remoteColumns() { return describe<Listed>("remote list", kStandard, kColumns); }

Result<int> remoteList(Context &context, const Arguments &arguments)
{
    const Remotes &remotes = *TRY(context.remotes());
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    api::Json objects = api::Json::object();
    std::vector<Listed> listed;
    for (const auto &[name, remote] : remotes.all()) {
        // A program that reads csv wants the name, and asks get-default for the other thing.
        listed.push_back({name, remote, name == remotes.defaultName() && choice.format != Format::Csv});
        api::Json &object = objects[name];
        object["addr"] = remote.address;
        object["protocol"] = remote.protocol;
        object["public"] = remote.isPublic;
        object["project"] = remote.project;
    }
    if (choice.format == Format::Json || choice.format == Format::Yaml) {
        TRY(printJson(context, choice.format, objects.dump()));
        return 0;
    }
    context.print(render(TRY(makeTable<Listed>(remoteColumns(), kColumns, arguments.value("columns", ""), listed)), choice));
    return 0;
}

Result<int> remoteAdd(Context &context, const Arguments &arguments)
{
    Remotes &remotes = *TRY(context.remotes());
    const std::string where = arguments.words.back();
    std::string token = arguments.value("token", "");
    std::optional<Token> known = readToken(token.empty() ? where : token);
    if (known)
        token = known->text;
    const bool tokenAlone = known && arguments.value("token", "").empty();
    std::string name = arguments.words.size() > 1 ? nameOfWord(arguments.word(0)) : "";
    if (name.empty())
        name = nameFor(tokenAlone ? (known->addresses.empty() ? "" : known->addresses.front()) : where);
    TRY(checkNewName(remotes, name));
    const std::string protocol = arguments.value("protocol", "lxd");
    if (protocol != "lxd" && protocol != "incus" && protocol != "simplestreams")
        return Error(Code::Usage, "protocol " + quoted(protocol) + " is none of lxd, incus, simplestreams");
    if (protocol == "simplestreams") {
        remotes.set(name, {TRY(remoteUrl(where, protocol)), protocol, true, {}});
        TRY(remotes.save());
        return 0;
    }
    client::Tunnel tunnel = TRY(client::Tunnel::start());
    const std::vector<std::string> addresses = tokenAlone ? known->addresses : std::vector<std::string>{where};
    Added added = TRY(reach(tunnel, addresses, arguments, known ? known->fingerprint : ""));
    added.remote.project = context.globals().project;
    if (!added.certificate.empty())
        TRY(remotes.pin(name, added.certificate));
    remotes.set(name, added.remote);
    const Status trusted = gainTrust(context, name, added.remote, token);
    if (!trusted) {
        (void)remotes.remove(name); // the file does not have it yet; what is left is a certificate that nobody looks for
        return std::move(trusted.error());
    }
    remotes.set(name, added.remote);
    TRY(remotes.save());
    if (arguments.words.size() < 2)
        context.say("Remote " + name + " added");
    return 0;
}

Result<int> remoteRemove(Context &context, const Arguments &arguments)
{
    Remotes &remotes = *TRY(context.remotes());
    TRY(remotes.remove(nameOfWord(arguments.word(0))));
    TRY(remotes.save());
    return 0;
}

Result<int> remoteRename(Context &context, const Arguments &arguments)
{
    Remotes &remotes = *TRY(context.remotes());
    const std::string to = nameOfWord(arguments.word(1));
    TRY(checkNewName(remotes, to));
    TRY(remotes.rename(nameOfWord(arguments.word(0)), to));
    TRY(remotes.save());
    return 0;
}

Result<int> remoteSwitch(Context &context, const Arguments &arguments)
{
    Remotes &remotes = *TRY(context.remotes());
    const std::string name = nameOfWord(arguments.word(0));
    if (TRY(remotes.get(name)).isImageServer())
        return Error(Code::Unsupported, "remote " + quoted(name) + " is an image server: instances are made elsewhere");
    remotes.setDefault(name);
    TRY(remotes.save());
    return 0;
}

Result<int> remoteGetDefault(Context &context, const Arguments &)
{
    context.printLine(TRY(context.remotes())->defaultName());
    return 0;
}

Result<int> remoteSetUrl(Context &context, const Arguments &arguments)
{
    Remotes &remotes = *TRY(context.remotes());
    const std::string name = nameOfWord(arguments.word(0));
    Remote remote = TRY(remotes.get(name));
    if (name == kLocalRemote)
        return Error(Code::Invalid, "remote 'local' is this host itself: LXMGR_RUN_DIR says where its socket is");
    remote.address = TRY(remoteUrl(arguments.word(1), remote.protocol));
    remotes.set(name, std::move(remote));
    TRY(remotes.save());
    return 0;
}

} // namespace lxmgr::cli
