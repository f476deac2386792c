// config trust add, add-certificate, list, show, edit, remove, list-tokens, revoke-token: whom the server believes.
#include "api/certificates.h"
#include "api/operations.h"
#include "api/projects.h"
#include "base/base64.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/text_file.h"

namespace lxmgr::cli
{

namespace
{

using api::Certificate;
using api::TrustToken;

constexpr std::string_view kCertificates = "/1.0/certificates";
constexpr std::size_t kLongestFile = 64 << 10;
constexpr std::string_view kEditHelp =
    "# What a certificate may do. Lines that begin with '#' are left out.\n"
    "# restricted: true with a list of projects lets its owner work in these and nowhere else.\n";

// clang-format off
constexpr Column<Certificate> kColumns[] = {
    {'n', "NAME", "Its name.", [](const Certificate &c) { return c.name; }},
    {'t', "TYPE", "client or metrics.", [](const Certificate &c) { return upperStatus(c.type); }},
    {'d', "DESCRIPTION", "What was said of it.", [](const Certificate &c) { return c.description; }},
    {'f', "FINGERPRINT", "The first 12 digits of its SHA-256.", [](const Certificate &c) { return c.fingerprint.substr(0, 12); }},
    {'F', "FULL FINGERPRINT", "Its SHA-256.", [](const Certificate &c) { return c.fingerprint; }},
    {'r', "RESTRICTED", "Whether it is kept to some projects.", [](const Certificate &c) { return yesNo(c.restricted); }},
    {'p', "PROJECTS", "Which these are.", [](const Certificate &c) { return join(c.projects, ", "); }},
};
constexpr Column<TrustToken> kTokenColumns[] = {
    {'n', "NAME", "Of the client it is for.", [](const TrustToken &t) { return t.clientName; }},
    {'t', "TOKEN", "What 'lxmgr remote add' takes.", [](const TrustToken &t) { return base64Encode(api::toJson(t)); }},
    {'E', "EXPIRES AT", "Until when it can be used.", [](const TrustToken &t) { return dateText(t.expiresAt); }},
};
// clang-format on

std::string pathOf(const std::string &fingerprint) { return client::path(kCertificates, {fingerprint}); }

TrustToken tokenOf(const api::Operation &operation)
{
    TrustToken token;
    if (const api::Json *request = operation.metadata.find("request"))
        token.clientName = request->text("name");
    token.fingerprint = operation.metadata.text("fingerprint");
    token.secret = operation.metadata.text("secret");
    if (const api::Json *addresses = operation.metadata.find("addresses"); addresses && addresses->asArray())
        for (const api::Json &address : *addresses->asArray())
            if (address.asString())
                token.addresses.push_back(*address.asString());
    if (const auto expires = api::Time::parse(operation.metadata.text("expiresAt")))
        token.expiresAt = *expires;
    return token;
}

/// The tokens that can still be used, with their operations.
Result<std::vector<api::Operation>> openTokens(Context &context)
{
    const client::Parameters all = {{"recursion", "1"}, {"all-projects", "true"}};
    const auto byStatus = TRY((context.client().get<std::map<std::string, std::vector<api::Operation>>>("/1.0/operations", all)));
    std::vector<api::Operation> tokens;
    if (const auto running = byStatus.find("running"); running != byStatus.end())
        for (const api::Operation &operation : running->second)
            if (operation.operationClass == "token" && operation.metadata.find("expiresAt"))
                tokens.push_back(operation);
    return tokens;
}

/// What the flags say of a certificate's rights. Without a word it is kept to the default project: who is to have the whole host is
/// named as such.
Result<api::CertificatesPost> rightsOf(Context &context, const Arguments &arguments)
{
    api::CertificatesPost post;
    post.type = arguments.value("type", "client");
    post.description = arguments.value("description", "");
    if (arguments.has("unrestricted") && (arguments.has("restricted") || arguments.has("projects")))
        return Error(Code::Usage, "--unrestricted, or --restricted with --projects, not both");
    if (arguments.has("unrestricted") || post.type == "metrics")
        return post;
    post.restricted = true;
    post.projects.emplace();
    for (const std::string &name : split(arguments.value("projects", "default"), ','))
        if (!name.empty())
            post.projects->push_back(name);
    for (const std::string &name : *post.projects) {
        const auto project = TRY(context.client().get<api::Project>(client::path("/1.0/projects", {name})));
        const auto restricted = project.config.find("restricted");
        if (restricted == project.config.end() || restricted->second != "true")
            context.warn("Warning: project " + quoted(name) + " is not restricted: whoever works in it can reach the host through devices "
                         "(lxmgr project set " + name + " restricted=true)");
    }
    return post;
}

} // namespace

ColumnSet certificateColumns() { return describe<Certificate>("config trust list", "ntfrp", kColumns); }
ColumnSet tokenColumns() { return describe<TrustToken>("config trust list-tokens", "ntE", kTokenColumns); }

Result<int> trustAdd(Context &context, const Arguments &arguments)
{
    if (arguments.words.empty())
        return Error(Code::Usage, "the client needs a name by which you know it again");
    api::CertificatesPost post = TRY(rightsOf(context, arguments));
    post.name = arguments.word(0);
    post.token = true;
    const client::Answer answer = TRY(context.client().request("POST", std::string(kCertificates), api::toJson(post)));
    const auto operation = TRY(client::Client::parse<api::Operation>(answer.metadata));
    context.say("Client " + post.name + " certificate add token:");
    context.printLine(base64Encode(api::toJson(tokenOf(operation))));
    return 0;
}

Result<int> trustAddCertificate(Context &context, const Arguments &arguments)
{
    if (arguments.words.empty())
        return Error(Code::Usage, "the file of the certificate is missing ('-' is standard input)");
    const std::string file = arguments.word(0);
    api::CertificatesPost post = TRY(rightsOf(context, arguments));
    post.name = arguments.value("name", "");
    post.certificate = file == "-" ? TRY(readStandardInput()) : TRY(readTextFile(file, kLongestFile));
    TRY(context.client().request("POST", std::string(kCertificates), api::toJson(post)));
    return 0;
}

Result<int> trustList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", std::string(kCertificates), {}, {{"recursion", "1"}}));
    TRY(printList<Certificate>(context, arguments, certificateColumns(), kColumns, answer.metadata));
    return 0;
}

Result<int> trustShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(pathOf(arguments.word(0))))));
    return 0;
}

Result<int> trustEdit(Context &context, const Arguments &arguments)
{
    const std::string path = pathOf(arguments.word(0));
    const Versioned now = TRY(fetch(context, path));
    api::Json document = api::Json::object();
    for (const std::string_view field : {"name", "description", "type", "restricted", "projects"})
        if (const api::Json *value = now.object.find(field))
            document[field] = *value;
    TRY(edit(context, path, kEditHelp, document, now.etag));
    return 0;
}

Result<int> trustRemove(Context &context, const Arguments &arguments)
{
    for (const std::string &fingerprint : arguments.words)
        TRY(context.client().request("DELETE", pathOf(fingerprint)));
    return 0;
}

Result<int> trustListTokens(Context &context, const Arguments &arguments)
{
    std::vector<TrustToken> tokens;
    for (const api::Operation &operation : TRY(openTokens(context)))
        tokens.push_back(tokenOf(operation));
    TRY(printList<TrustToken>(context, arguments, tokenColumns(), kTokenColumns, api::toJson(tokens)));
    return 0;
}

Result<int> trustRevokeToken(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.words.empty() ? "" : arguments.word(0);
    bool found = false;
    for (const api::Operation &operation : TRY(openTokens(context))) {
        if (tokenOf(operation).clientName != name)
            continue;
        TRY(context.client().request("DELETE", client::path("/1.0/operations", {operation.id})));
        found = true;
    }
    if (!found)
        return Error(Code::NotFound, "no token is for " + quoted(name) + " ('lxmgr config trust list-tokens' lists them)");
    return 0;
}

} // namespace lxmgr::cli
