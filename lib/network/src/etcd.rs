//! A client of etcd's key-value store, by the JSON gateway of its version 3 over HTTP (`/v3/…`, etcd 3.4 and later).
//!
//! ```text
//!   range      /v3/kv/range           what is under a prefix, at one revision
//!   create     /v3/kv/txn             writes keys if none of them is there: who comes second is told who was first
//!   delete_if  /v3/kv/txn             deletes a key if it still says what we wrote
//!   replace_if /v3/kv/txn             writes a key anew if it still says what we wrote
//!   grant …    /v3/lease/…            a lease and the keys under it vanish when nobody keeps it alive
//!   watch      /v3/watch              what changes under a prefix from a revision on, as an answer that does not end
//! ```
//!
//! Several addresses are one cluster: the one that answered last is asked first, and the others when it does not. An
//! answer that got lost makes a request go out twice; each of these may be repeated (a creation finds its own record).
//! Plain HTTP; a name and password become a token (`/v3/auth/authenticate`), renewed when it has run out.

mod encoding;
mod http;

use crate::error::{Error, Kind, Result};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
const OP: &str = "ask etcd at";
/// gRPC's codes (google.golang.org/grpc/codes).
const UNAUTHENTICATED: u64 = 16;
const PERMISSION_DENIED: u64 = 7;
const NOT_FOUND: u64 = 5;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A client of one cluster.
#[derive(Debug)]
pub struct Client {
    /// `host:port` each.
    endpoints: Vec<String>,
    login: Option<Login>,
    token: Option<String>,
}

/// A key and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// What stands there.
    pub value: Vec<u8>,
}

/// What was under a prefix at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The store's revision at that moment.
    pub revision: i64,
    /// By key.
    pub pairs: Vec<Pair>,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was written.
    Put(Pair),
    /// It was deleted, or its lease ran out.
    Delete(String),
}

/// `host:port` of an address as users write it: `http://10.0.0.1:2379`.
pub fn parse_endpoint(text: &str) -> std::result::Result<String, String> {
    if text.starts_with("https://") {
        return Err(format!(
            "`{text}`: etcd by TLS is not supported; give an http:// address, behind a tunnel if need be"
        ));
    }
    let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if rest.is_empty() || rest.contains(['/', '@', ' ', '?', '#']) || rest.contains("://") {
        return Err(format!("`{text}` is not an address of etcd like http://10.0.0.1:2379"));
    }
    let after_host = rest.rsplit_once(']').map_or(rest, |(_, port)| port);
    Ok(match after_host.rsplit_once(':') {
        Some((_, port)) => {
            port.parse::<u16>().map_err(|_| format!("`{text}` has no port that can be one"))?;
            rest.to_owned()
        }
        None => format!("{rest}:2379"),
    })
}

impl Client {
    /// A client of the cluster at `endpoints` (see [`parse_endpoint`]). Nothing is asked yet.
    pub fn new(endpoints: Vec<String>, login: Option<Login>) -> Self {
        Self { endpoints, login, token: None }
    }

    /// Everything under `prefix`.
    pub fn range(&mut self, prefix: &str) -> Result<Snapshot> {
        let answer = self.call("/v3/kv/range", &json!({ "key": key(prefix), "range_end": range_end(prefix) }))?;
        let pairs = answer["kvs"].as_array().map(|kvs| kvs.iter().filter_map(pair).collect()).unwrap_or_default();
        Ok(Snapshot { revision: revision(&answer), pairs })
    }

    /// What stands at `name`.
    pub fn get(&mut self, name: &str) -> Result<Option<Pair>> {
        let answer = self.call("/v3/kv/range", &json!({ "key": key(name) }))?;
        Ok(answer["kvs"].as_array().and_then(|kvs| kvs.iter().find_map(pair)))
    }

    /// The keys under `prefix`, without what stands there.
    pub fn keys(&mut self, prefix: &str) -> Result<Vec<String>> {
        let question = json!({ "key": key(prefix), "range_end": range_end(prefix), "keys_only": true });
        let answer = self.call("/v3/kv/range", &question)?;
        let kvs = answer["kvs"].as_array();
        Ok(kvs.map(|kvs| kvs.iter().filter_map(pair).map(|pair| pair.key).collect()).unwrap_or_default())
    }

    /// Writes all of `pairs`, or none if there is one of the keys already: then what stands at those. One that stands
    /// there just as it was to be written counts as written: the answer to the first try got lost.
    pub fn create(&mut self, pairs: &[Pair]) -> Result<std::result::Result<(), Vec<Pair>>> {
        let absent = |p: &Pair| json!({ "key": key(&p.key), "target": "VERSION", "result": "EQUAL", "version": "0" });
        let write = |p: &Pair| json!({ "requestPut": { "key": key(&p.key), "value": encoding::encode(&p.value) } });
        let read = |p: &Pair| json!({ "requestRange": { "key": key(&p.key) } });
        let answer = self.call(
            "/v3/kv/txn",
            &json!({
                "compare": pairs.iter().map(absent).collect::<Vec<_>>(),
                "success": pairs.iter().map(write).collect::<Vec<_>>(),
                "failure": pairs.iter().map(read).collect::<Vec<_>>(),
            }),
        )?;
        if answer["succeeded"] == true {
            return Ok(Ok(()));
        }
        let responses = answer["responses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let kvs = responses.iter().filter_map(|r| r["response_range"]["kvs"].as_array()).flatten();
        let present: Vec<Pair> = kvs.filter_map(pair).collect();
        Ok(if pairs.iter().all(|wanted| present.contains(wanted)) { Ok(()) } else { Err(present) })
    }

    /// Writes `pair`, under a lease if one is given.
    pub fn put(&mut self, pair: &Pair, lease: Option<i64>) -> Result<()> {
        let lease = lease.unwrap_or(0).to_string();
        let question = json!({ "key": key(&pair.key), "value": encoding::encode(&pair.value), "lease": lease });
        self.call("/v3/kv/put", &question).map(drop)
    }

    /// Deletes `key`.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        self.call("/v3/kv/deleterange", &json!({ "key": key(name) })).map(drop)
    }

    /// Deletes the key of `pair` if it says what `pair` does.
    pub fn delete_if(&mut self, pair: &Pair) -> Result<()> {
        let delete = json!({ "requestDeleteRange": { "key": key(&pair.key) } });
        self.call("/v3/kv/txn", &json!({ "compare": [says(pair)], "success": [delete] })).map(drop)
    }

    /// Writes `value` at the key of `pair` if it says what `pair` does.
    pub fn replace_if(&mut self, pair: &Pair, value: &[u8]) -> Result<()> {
        let put = json!({ "requestPut": { "key": key(&pair.key), "value": encoding::encode(value) } });
        self.call("/v3/kv/txn", &json!({ "compare": [says(pair)], "success": [put] })).map(drop)
    }

    /// A lease of `ttl_s` seconds; gives its number.
    pub fn grant(&mut self, ttl_s: u64) -> Result<i64> {
        let answer = self.call("/v3/lease/grant", &json!({ "TTL": ttl_s.to_string() }))?;
        integer(&answer["ID"]).ok_or_else(|| strange("a lease without a number"))
    }

    /// Keeps a lease alive; `false` when it has run out.
    pub fn keep_alive(&mut self, lease: i64) -> Result<bool> {
        let answer = self.call("/v3/lease/keepalive", &json!({ "ID": lease.to_string() }))?;
        Ok(integer(&answer["result"]["TTL"]).is_some_and(|ttl| ttl > 0))
    }

    /// Ends a lease, and with it its keys. That it has run out is fine.
    pub fn revoke(&mut self, lease: i64) -> Result<()> {
        match self.call("/v3/lease/revoke", &json!({ "ID": lease.to_string() })) {
            Err(e) if e.kind == Kind::NotFound => Ok(()),
            done => done.map(drop),
        }
    }

    /// What changes under `prefix` after `revision`.
    pub fn watch(&mut self, prefix: &str, revision: i64) -> Result<Watch> {
        let from = (revision + 1).to_string();
        let create = json!({ "key": key(prefix), "range_end": range_end(prefix), "start_revision": from });
        let body = json!({ "create_request": create }).to_string();
        let reply = self.send("/v3/watch", body.as_bytes(), Ok)?;
        Ok(Watch { reply, endpoint: self.endpoints.first().cloned().unwrap_or_default() })
    }

    /// One question and its answer.
    fn call(&mut self, path: &str, question: &Value) -> Result<Value> {
        let body = question.to_string();
        for attempt in 0..2 {
            if self.token.is_none() && self.login.is_some() {
                self.authenticate()?;
            }
            let (status, answer) = self.send(path, body.as_bytes(), |reply| reply.whole(PATIENCE))?;
            let answer: Value = serde_json::from_slice(&answer).map_err(|_| strange("an answer that is not JSON"))?;
            let refusal = if status == 200 { &answer["error"] } else { &answer };
            if status == 200 && refusal.is_null() {
                return Ok(answer);
            }
            let error = self.refused(status, refusal);
            let expired = error.kind == Kind::NotPermitted && self.login.is_some() && attempt == 0;
            self.token = None;
            if !expired {
                return Err(error);
            }
        }
        Err(strange("it forgets the token at once"))
    }

    fn authenticate(&mut self) -> Result<()> {
        let Some(login) = &self.login else { return Ok(()) };
        let body = json!({ "name": login.user, "password": login.password }).to_string();
        let (status, answer) = self.send("/v3/auth/authenticate", body.as_bytes(), |reply| reply.whole(PATIENCE))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| strange("an answer that is not JSON"))?;
        match answer["token"].as_str() {
            Some(token) if status == 200 => self.token = Some(token.to_owned()),
            _ => return Err(self.refused(status, &answer)),
        }
        Ok(())
    }

    /// Sends to the endpoint that answered last, else to the others.
    fn send<T>(&mut self, path: &str, body: &[u8], mut receive: impl FnMut(http::Reply) -> io::Result<T>) -> Result<T> {
        let mut last = None;
        for at in 0..self.endpoints.len() {
            let Some(endpoint) = self.endpoints.get(at) else { break };
            match http::post(endpoint, path, self.token.as_deref(), body).and_then(&mut receive) {
                Ok(answer) => {
                    self.endpoints.swap(0, at);
                    return Ok(answer);
                }
                Err(e) => last = Some(e),
            }
        }
        let why = last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address is known"));
        Err(Error::new(Kind::System, OP, self.endpoints.join(", "))
            .because(why)
            .hint("see whether etcd runs there and this host reaches it; what is wired stays as it is meanwhile"))
    }

    fn refused(&self, status: u16, answer: &Value) -> Error {
        let code = answer["code"].as_u64().or_else(|| answer["grpc_code"].as_u64()).unwrap_or(0);
        let words = answer["error"].as_str().or_else(|| answer["message"].as_str());
        let words = words.map_or_else(|| format!("status {status}"), str::to_owned);
        let login = code == UNAUTHENTICATED || code == PERMISSION_DENIED || words.contains("user name is empty");
        let login = login || words.contains("authentication failed") || words.contains("invalid auth token");
        let kind = match code {
            _ if login => Kind::NotPermitted,
            NOT_FOUND => Kind::NotFound,
            _ => Kind::System,
        };
        let endpoint = self.endpoints.first().map_or("", String::as_str);
        let error = Error::new(kind, OP, endpoint).because(words);
        if login { error.hint("give the right --user and --password-file") } else { error }
    }
}

/// What changes under a prefix, as it comes.
#[derive(Debug)]
pub struct Watch {
    reply: http::Reply,
    endpoint: String,
}

impl Watch {
    /// What has happened, waiting for it no longer than `patience`. After an error the watch is over: read everything
    /// anew and watch from there.
    pub fn poll(&mut self, patience: Duration) -> Result<Vec<Event>> {
        let lost = |e: io::Error| Error::new(Kind::System, "watch etcd at", &self.endpoint).because(e);
        let (status, lines) = self.reply.lines(patience).map_err(lost)?;
        let mut events = Vec::new();
        for line in lines {
            let line: Value = serde_json::from_slice(&line).map_err(|_| strange("an answer that is not JSON"))?;
            let result = &line["result"];
            if status != 200 || result.is_null() || result["canceled"] == true {
                let words = result["cancel_reason"].as_str().or(line["error"]["message"].as_str());
                let words = words.or(line["error"].as_str()).unwrap_or("the watch was cancelled").to_owned();
                return Err(Error::new(Kind::System, "watch etcd at", &self.endpoint).because(words));
            }
            let happened = result["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            events.extend(happened.iter().filter_map(|event| {
                let pair = pair(&event["kv"])?;
                Some(if event["type"] == "DELETE" { Event::Delete(pair.key) } else { Event::Put(pair) })
            }));
        }
        Ok(events)
    }
}

fn strange(why: &'static str) -> Error {
    Error::new(Kind::System, OP, "").because(why).hint("is it etcd 3.4 or later that listens there?")
}

fn key(text: &str) -> String {
    encoding::encode(text.as_bytes())
}

/// The first key behind all that begin with `prefix`.
fn range_end(prefix: &str) -> String {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    encoding::encode(&end)
}

/// Whether the key of `pair` says what `pair` does, as a transaction asks it.
fn says(pair: &Pair) -> Value {
    let value = encoding::encode(&pair.value);
    json!({ "key": key(&pair.key), "target": "VALUE", "result": "EQUAL", "value": value })
}

/// A key with its value; a deletion has no value, nor has an empty one.
fn pair(kv: &Value) -> Option<Pair> {
    let key = String::from_utf8(encoding::decode(kv["key"].as_str()?)?).ok()?;
    let value = kv["value"].as_str().and_then(encoding::decode).unwrap_or_default();
    Some(Pair { key, value })
}

/// Numbers of 64 bits are strings in the gateway's JSON.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn revision(answer: &Value) -> i64 {
    integer(&answer["header"]["revision"]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Client, encoding, pair, parse_endpoint, range_end};
    use serde_json::json;

    #[test]
    fn addresses_as_users_write_them() {
        for (text, endpoint) in [
            ("http://10.0.0.1:2379", "10.0.0.1:2379"),
            ("http://etcd/", "etcd:2379"),
            ("[2001:db8::1]:4001", "[2001:db8::1]:4001"),
            ("http://[2001:db8::1]", "[2001:db8::1]:2379"),
        ] {
            assert_eq!(parse_endpoint(text).as_deref(), Ok(endpoint), "{text}");
        }
        assert!(parse_endpoint("https://10.0.0.1:2379").unwrap_err().contains("TLS"));
        for wrong in ["", "http://", "unix:///run/x", "http://a:port", "http://u:p@h:1"] {
            assert!(parse_endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefixes_and_pairs() {
        let end = |prefix: &str| encoding::decode(&range_end(prefix)).unwrap();
        assert_eq!(end("a/"), b"a0");
        assert_eq!(pair(&json!({ "key": "Zm9v", "value": "Zg==" })).unwrap().value, b"f");
        assert!(pair(&json!({ "key": "Zm9v" })).unwrap().value.is_empty());
        assert!(pair(&json!({})).is_none());
    }

    #[test]
    fn nobody_there_is_said_by_address() {
        // Port 1 of loopback: nothing listens there.
        let error = Client::new(vec!["127.0.0.1:1".into()], None).range("x").unwrap_err();
        assert!(error.to_string().starts_with("ask etcd at 127.0.0.1:1: connection refused"), "{error}");
        assert!(error.hint.is_some());
    }
}
