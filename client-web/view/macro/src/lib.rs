//! The macro of [`lanyard-web-view`](../lanyard_web_view/index.html), in a crate of its own because it has to be.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use rstml::node::{CustomNode, KeyedAttribute, Node, NodeAttribute, NodeElement, NodeName};

#[path = "../../src/steps.rs"]
mod steps;

/// Writes down what a page shows, in the words of Leptos' macro of the same name.
///
/// Elements, text in quotes, `{expressions}` and components; `class:`, `style:`, `prop:` and `on:` before the name of an
/// attribute, and `node_ref`. An expression may be a closure, which then runs again whenever what it read changes.
#[proc_macro]
pub fn view(tokens: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let parser = rstml::Parser::new(rstml::ParserConfig::default().recover_block(true));
    let (nodes, faults) = parser.parse_recoverable(TokenStream::from(tokens)).split_vec();
    let faults = faults.into_iter().map(|fault| fault.emit_as_expr_tokens());
    let view = siblings(&nodes);
    quote! {{
        #[allow(unused_braces, reason = "every value is written in braces")]
        {
            #(#faults;)*
            #view
        }
    }}
    .into()
}

/// A component, as Leptos' attribute of the same name makes them, but with one type for what they all return: its body may
/// end with anything that can stand in a view.
#[proc_macro_attribute]
pub fn component(_: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let mut words: Vec<TokenTree> = TokenStream::from(item).into_iter().collect();
    let Some(TokenTree::Group(body)) = words.pop() else {
        return quote! { ::std::compile_error!("a component is a function"); }.into();
    };
    quote! {
        #[::leptos::component]
        #(#words)* {
            ::lanyard_web_view::Content::view(#body)
        }
    }
    .into()
}

/// Nodes beside each other, as one view.
fn siblings<C: CustomNode>(nodes: &[Node<C>]) -> TokenStream {
    let mut views: Vec<_> = nodes.iter().filter_map(node).collect();
    match views.len() {
        1 => views.remove(0),
        _ => quote! { ::lanyard_web_view::View::all(::std::vec![#(#views),*]) },
    }
}

/// One node as a view; none for comments.
fn node<C: CustomNode>(node: &Node<C>) -> Option<TokenStream> {
    Some(match node {
        Node::Element(element) if is_component(element.name()) => call(element),
        Node::Element(element) => {
            let mut written = Written::default();
            written.element(element);
            let Written { steps, parts } = written;
            quote! { ::lanyard_web_view::Element::new(#steps) #parts .view() }
        }
        Node::Fragment(fragment) => siblings(&fragment.children),
        Node::Block(block) => quote! { ::lanyard_web_view::Content::view(#block) },
        Node::Text(_) | Node::RawText(_) => {
            let text = text(node)?;
            quote! { ::lanyard_web_view::Content::view(#text) }
        }
        Node::Comment(_) | Node::Doctype(_) | Node::Custom(_) => return None,
    })
}

fn text<C: CustomNode>(node: &Node<C>) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.value_string()),
        Node::RawText(text) => Some(text.to_string_best()),
        _ => None,
    }
}

fn is_component(name: &NodeName) -> bool {
    let NodeName::Path(path) = name else { return false };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident.to_string().starts_with(char::is_uppercase))
}

/// A call of Leptos' component.
fn call<C: CustomNode>(element: &NodeElement<C>) -> TokenStream {
    let name = element.name();
    let props = element.attributes().iter().map(|attribute| match attribute {
        NodeAttribute::Attribute(attribute) => {
            let name = &attribute.key;
            match attribute.value() {
                Some(value) => quote! { .#name({ #value }) },
                None => quote! { .#name(#name) },
            }
        }
        NodeAttribute::Block(block) => fault(block, "a component takes named properties only"),
    });
    let children = match element.children.as_slice() {
        [] => TokenStream::new(),
        [only] if let Some(text) = text(only) => {
            quote! { .children(::leptos::children::ToChildren::to_children(
                ::leptos::children::ChildrenOptContainer(#text),
            )) }
        }
        children => {
            let view = siblings(children);
            quote! { .children(::leptos::children::ToChildren::to_children(move || #view)) }
        }
    };
    quote! {
        ::lanyard_web_view::View::of(::leptos::component::component_view(
            &#name,
            ::leptos::component::component_props_builder(&#name) #(#props)* #children .build(),
        ))
    }
}

/// An element: its steps, and the calls that hand over its parts, in the order of the steps that take them.
#[derive(Default)]
struct Written {
    steps: String,
    parts: TokenStream,
}

impl Written {
    fn step(&mut self, mark: char, words: &str) {
        self.steps.push(mark);
        self.steps.push_str(words);
    }

    fn part(&mut self, call: TokenStream) {
        self.parts.extend(call);
    }

    fn element<C: CustomNode>(&mut self, element: &NodeElement<C>) {
        let tag = element.name().to_string();
        let mark = if SVG.contains(&tag.as_str()) { steps::OPEN_SVG } else { steps::OPEN };
        self.step(mark, &tag);
        for attribute in element.attributes() {
            match attribute {
                NodeAttribute::Attribute(attribute) => self.attribute(attribute),
                NodeAttribute::Block(block) => self.part(fault(block, "attributes have names")),
            }
        }
        for child in &element.children {
            self.child(child);
        }
        self.step(steps::CLOSE, "");
    }

    fn child<C: CustomNode>(&mut self, child: &Node<C>) {
        match child {
            Node::Element(element) if !is_component(element.name()) => self.element(element),
            Node::Fragment(fragment) => fragment.children.iter().for_each(|child| self.child(child)),
            Node::Text(_) | Node::RawText(_) => {
                let text = text(child).unwrap_or_default();
                self.step(steps::TEXT, &text);
            }
            Node::Block(block) => {
                self.step(steps::SHOW, "");
                self.part(quote! { .show(#block) });
            }
            other => {
                if let Some(view) = node(other) {
                    self.step(steps::SHOW, "");
                    self.part(quote! { .show(#view) });
                }
            }
        }
    }

    fn attribute(&mut self, attribute: &KeyedAttribute) {
        let key = attribute.key.to_string();
        let value = attribute.value();
        if key == "node_ref" {
            self.step(steps::KNOW, "");
            return self.part(quote! { .know(#value) });
        }
        let (mark, name) = match key.split_once(':') {
            Some(("on", name)) => {
                self.step(steps::LISTEN, name);
                let event = if UNNAMED.contains(&name) {
                    quote! { ::leptos::ev::Custom::new(#name) }
                } else {
                    let event = quote::format_ident!("{name}");
                    quote! { ::leptos::ev::#event }
                };
                return self.part(quote! { .on(#event, #value) });
            }
            Some(("class", name)) => (steps::CLASS, name),
            Some(("style", name)) => (steps::STYLE, name),
            Some(("prop", name)) => (steps::PROPERTY, name),
            Some(_) => return self.part(fault(&attribute.key, "no such kind of attribute")),
            None => (steps::SET, key.as_str()),
        };
        let Some(value) = value else {
            self.step(steps::ATTRIBUTE, name);
            return self.step(steps::IS, "");
        };
        let is_flag = matches!(quote!(#value).to_string().as_str(), "true" | "false");
        match attribute.value_literal_string() {
            Some(text) if mark == steps::SET && !is_flag => {
                self.step(steps::ATTRIBUTE, name);
                self.step(steps::IS, &text);
            }
            _ => {
                self.step(mark, name);
                self.part(quote! { .set({ #value }) });
            }
        }
    }
}

/// Events for which Leptos has no name.
const UNNAMED: &[&str] = &["cancel"];

/// What the compiler says of something that this macro does not take.
fn fault(of: impl quote::ToTokens, said: &str) -> TokenStream {
    let span = of
        .into_token_stream()
        .into_iter()
        .next()
        .map_or_else(proc_macro2::Span::call_site, |word| word.span());
    quote::quote_spanned! { span => .fault(::std::compile_error!(#said)) }
}

/// The elements of drawings that the pages use; to the browser they are of another kind than those of text.
const SVG: &[&str] = &["svg", "g", "path", "polyline", "line", "rect", "circle"];
