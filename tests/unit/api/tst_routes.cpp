#include "api/routes.h"

#include "api/status_codes.h"
#include "support/verify.h"

#include <set>

using namespace lxmgr;
using namespace lxmgr::api;

namespace
{
std::vector<std::string> segments(std::string_view path)
{
    std::vector<std::string> list;
    for (std::size_t at = 1; at < path.size();) {
        const std::size_t slash = std::min(path.find('/', at), path.size());
        list.emplace_back(path.substr(at, slash - at));
        at = slash + 1;
    }
    return list;
}
} // namespace

class tst_routes : public QObject
{
    Q_OBJECT

private slots:
    void everyRowFindsItself()
    {
        std::set<std::pair<Verb, std::string_view>> seen;
        for (const Route &row : kRoutes) {
            QVERIFY2(seen.emplace(row.verb, row.pattern).second, row.pattern.data());
            QVERIFY(!row.summary.empty() && row.summary.ends_with('.'));
            Match match;
            const std::string path = routePath(row.id, {"one", "two", "three", "four"});
            QCOMPARE(static_cast<int>(matchRoute(verbName(row.verb), segments(path), match)), static_cast<int>(Miss::None));
            QVERIFY2(match.route == &row, path.c_str());
            QVERIFY(parseVerb(verbName(row.verb)) == row.verb);
        }
    }

    void paramsAreTakenOut()
    {
        Match match;
        QVERIFY(matchRoute("GET", segments("/1.0/instances/c1/logs/lxc.log"), match) == Miss::None);
        QCOMPARE(match.params.size(), std::size_t(2));
        QVERIFY(match.params[0].first == "name" && match.params[0].second == "c1");
        QVERIFY(match.params[1].first == "file" && match.params[1].second == "lxc.log");
    }

    void aliasesMayHoldSlashes()
    {
        Match plain, encoded;
        QVERIFY(matchRoute("GET", segments("/1.0/images/aliases/debian/12"), plain) == Miss::None);
        QCOMPARE(plain.params.at(0).second, std::string("debian/12"));
        const std::vector<std::string> one = {"1.0", "images", "aliases", "debian/12"};
        QVERIFY(matchRoute("DELETE", one, encoded) == Miss::None);
        QCOMPARE(encoded.params.at(0).second, std::string("debian/12"));
        QCOMPARE(routePath(RouteId::ImageAliasGet, {"debian/12"}), std::string("/1.0/images/aliases/debian%2F12"));
    }

    void literalsWinOverNames()
    {
        Match match;
        QVERIFY(matchRoute("GET", segments("/1.0/images/aliases"), match) == Miss::None);
        QVERIFY(match.route->id == RouteId::ImageAliasList);
        // an image called "aliases" cannot be deleted by accident
        QVERIFY(matchRoute("DELETE", segments("/1.0/images/aliases"), match) == Miss::NoVerb);
    }

    void missesAreToldApart()
    {
        Match match;
        QVERIFY(matchRoute("GET", segments("/1.0/nothing"), match) == Miss::NoPath);
        QVERIFY(matchRoute("GET", segments("/2.0"), match) == Miss::NoPath);
        QVERIFY(matchRoute("POST", segments("/1.0/events"), match) == Miss::NoVerb);
        QVERIFY(matchRoute("BREW", segments("/1.0"), match) == Miss::NoVerb);
        QVERIFY(matchRoute("HEAD", segments("/1.0"), match) == Miss::None); // as GET
    }

    void oldNamesOfInstancesStillWork()
    {
        Match match;
        QVERIFY(matchRoute("PUT", segments("/1.0/containers/c1/state"), match) == Miss::None);
        QVERIFY(match.route->id == RouteId::InstanceStatePut);
        QVERIFY(match.family == InstanceFamily::Containers);
        QVERIFY(matchRoute("GET", segments("/1.0/virtual-machines"), match) == Miss::None);
        QVERIFY(match.family == InstanceFamily::VirtualMachines);
        QVERIFY(matchRoute("GET", segments("/1.0/images/containers"), match) == Miss::None);
        QVERIFY(match.family == InstanceFamily::Instances);
    }

    void statusWordsAreDistinct()
    {
        std::set<std::string_view> words;
        for (const StatusWord &row : kStatusWords)
            QVERIFY(words.insert(row.word).second && statusWord(row.code) == row.word);
        QVERIFY(isFinal(200) && isFinal(401) && !isFinal(113));
    }
};

QTEST_GUILESS_MAIN(tst_routes)
#include "tst_routes.moc"
