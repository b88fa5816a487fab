//! Which method a REST path reaches. Read from the schemas once; literal parts of a path win over variable ones, so
//! that `blocks/latest` is not a height.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorPool, MessageDescriptor};

/// All schemas, for messages without a type of their own.
pub(crate) static SCHEMAS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(dodona_proto::DESCRIPTORS).expect("checked by the compiler of the schemas")
});

/// Every path, in the order in which they are tried.
pub(crate) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(all);

/// One path of one method.
#[derive(Debug)]
pub(crate) struct Route {
    /// `/package.Service/Method`.
    pub method: String,
    /// `GET` or `POST`.
    pub verb: &'static str,
    /// The path as it is published.
    pub pattern: String,
    /// Whether the HTTP body is the request.
    pub body: bool,
    pub request: MessageDescriptor,
    pub answer: MessageDescriptor,
    parts: Vec<Part>,
}

// Literals sort before variables, which decides who wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Field,
}

impl Route {
    /// Fields of the request that stand in the path, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.pattern.split('/').filter_map(field)
    }

    /// The values of [`Route::fields`] if the path is one of this route's.
    fn values(&self, path: &[String]) -> Option<Vec<(String, String)>> {
        if path.len() != self.parts.len() {
            return None;
        }
        let fits = self.parts.iter().zip(path).all(|(part, text)| match part {
            Part::Literal(literal) => literal == text,
            Part::Field => !text.is_empty(),
        });
        let values = || self.parts.iter().zip(path).filter(|(part, _)| **part == Part::Field);
        fits.then(|| {
            self.fields().zip(values()).map(|(name, (_, text))| (name.into(), text.clone())).collect()
        })
    }
}

fn field(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn parts(pattern: &str) -> Vec<Part> {
    let part = |text: &str| field(text).map_or_else(|| Part::Literal(text.into()), |_| Part::Field);
    pattern.trim_start_matches('/').split('/').map(part).collect()
}

fn all() -> Vec<Route> {
    let types = dodona_proto::methods();
    let of = |name: &str| SCHEMAS.get_message_by_name(name).expect("a method's types are described");
    let mut routes: Vec<Route> = dodona_proto::routes()
        .into_iter()
        .map(|route| {
            let (_, request, answer) =
                types.iter().find(|(path, ..)| *path == route.method).expect("routes belong to methods");
            Route {
                parts: parts(&route.pattern),
                request: of(request),
                answer: of(answer),
                method: route.method,
                verb: route.verb,
                pattern: route.pattern,
                body: route.body,
            }
        })
        .collect();
    // Of two methods with the same path the later one answers, as in published gateways.
    routes.reverse();
    routes.sort_by(|a, b| a.parts.cmp(&b.parts));
    routes
}

/// What a request's path means.
pub(crate) enum Found {
    /// This route, with the fields that stood in the path.
    Route(&'static Route, Vec<(String, String)>),
    /// The path is known, but not with this HTTP method; these are.
    Other(Vec<&'static str>),
    /// No such path.
    Nothing,
}

/// Finds the route of a request.
pub(crate) fn find(verb: &str, path: &str) -> Found {
    let decode = |part: &str| percent_decode_str(part).decode_utf8().ok().map(|text| text.into_owned());
    // A slash at the end means nothing.
    let path = path.trim_start_matches('/').trim_end_matches('/');
    let Some(path) = path.split('/').map(decode).collect::<Option<Vec<String>>>() else {
        return Found::Nothing;
    };
    let mut others = Vec::new();
    for route in ROUTES.iter() {
        let Some(values) = route.values(&path) else { continue };
        if route.verb == verb {
            return Found::Route(route, values);
        }
        others.push(route.verb);
    }
    others.dedup();
    if others.is_empty() { Found::Nothing } else { Found::Other(others) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn reached(verb: &str, path: &str) -> (String, Vec<(String, String)>) {
        match find(verb, path) {
            Found::Route(route, values) => (route.method.clone(), values),
            _ => panic!("{path} reaches nothing"),
        }
    }

    #[test]
    fn literal_parts_win_and_variables_are_decoded() {
        let (method, values) = reached("GET", "/cosmos/base/tendermint/v1beta1/blocks/latest");
        assert!(method.ends_with("/GetLatestBlock") && values.is_empty());
        let (method, values) = reached("GET", "/cosmos/base/tendermint/v1beta1/blocks/7/");
        assert!(method.ends_with("/GetBlockByHeight"));
        assert_eq!(values, [("height".to_string(), "7".to_string())]);
        let (_, values) = reached("GET", "/cosmos/bank/v1beta1/denoms_metadata/ibc%2FA%20B");
        assert_eq!(values, [("denom".to_string(), "ibc/A B".to_string())]);
        assert!(reached("POST", "/cosmos/tx/v1beta1/txs").0.ends_with("/BroadcastTx"));
        assert!(reached("GET", "/cosmos/tx/v1beta1/txs").0.ends_with("/GetTxsEvent"));
        assert!(matches!(find("PUT", "/cosmos/tx/v1beta1/txs"), Found::Other(v) if v.len() == 2));
        for nothing in ["/", "", "//", "/cosmos", "/cosmos/bank/v1beta1/balances//by_denom", "/%ff", "/%"] {
            assert!(matches!(find("GET", nothing), Found::Nothing), "{nothing}");
        }
    }

    #[test]
    fn only_published_pairs_of_methods_share_a_path() {
        let mut shapes: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for route in ROUTES.iter() {
            shapes.entry((route.verb, &route.parts)).or_default().push(&route.method);
        }
        let shared: Vec<_> = shapes.values().filter(|methods| methods.len() > 1).collect();
        assert_eq!(
            shared,
            [
                &[
                    "/cosmos.auth.v1beta1.Query/AddressStringToBytes",
                    "/cosmos.auth.v1beta1.Query/AddressBytesToString"
                ],
                &[
                    "/emissions.v10.QueryService/GetStakeRemovalForReputerAndTopicId",
                    "/emissions.v10.QueryService/GetStakeRemovalInfo"
                ],
                &[
                    "/emissions.v9.QueryService/GetStakeRemovalForReputerAndTopicId",
                    "/emissions.v9.QueryService/GetStakeRemovalInfo"
                ],
            ]
        );
    }
}
