//! Writes the implementations: one block of code a field, in wire order, then the tagged ones.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Ident, Result, Type};

use crate::attributes::{FieldAttributes, Range, StructAttributes};

struct Field<'a> {
    name: &'a Ident,
    ty: &'a Type,
    attributes: FieldAttributes,
    /// `Struct.field`, for errors.
    place: String,
}

impl Field<'_> {
    fn default(&self) -> TokenStream {
        match &self.attributes.default {
            Some(expression) => quote!(#expression),
            None => quote!(::core::default::Default::default()),
        }
    }

    fn presence(&self) -> Option<TokenStream> {
        self.attributes.versions.and_then(Range::condition)
    }

    /// Compares with the default value, by reference so that nothing is moved.
    fn is_set(&self) -> TokenStream {
        let (name, ty, default) = (self.name, self.ty, self.default());
        quote!({
            let default: #ty = #default;
            self.#name != default
        })
    }

    fn read(&self) -> TokenStream {
        let (ty, place) = (self.ty, &self.place);
        let read = match self.attributes.tag {
            None => quote!(read),
            Some(_) => quote!(read_tagged),
        };
        let value = quote! {
            <#ty as ::kabuki_protocol::codec::Field>::#read(decoder, form)
                .map_err(|error| error.in_field(#place))?
        };
        match self.attributes.nullable.and_then(Range::condition) {
            None => value,
            Some(may_be_null) => quote!({
                let value: #ty = #value;
                if value.is_none() && !(#may_be_null) {
                    return Err(::kabuki_protocol::codec::DecodeError::null(#place));
                }
                value
            }),
        }
    }

    fn write(&self) -> TokenStream {
        let (name, place) = (self.name, &self.place);
        let null_check = self
            .attributes
            .nullable
            .and_then(Range::condition)
            .map(|may_be_null| {
                quote! {
                    if self.#name.is_none() && !(#may_be_null) {
                        return Err(::kabuki_protocol::codec::EncodeError::Null { field: #place });
                    }
                }
            });
        let write = match self.attributes.tag {
            None => quote!(write),
            Some(_) => quote!(write_tagged),
        };
        quote! {
            #null_check
            ::kabuki_protocol::codec::Field::#write(&self.#name, encoder, form)
                .map_err(|error| error.in_field(#place))?;
        }
    }

    /// What `write` does in a version that lacks the field: an ignorable one vanishes.
    fn write_absent(&self) -> TokenStream {
        if self.attributes.ignorable {
            return TokenStream::new();
        }
        let (is_set, place) = (self.is_set(), &self.place);
        quote! {
            if #is_set {
                return Err(::kabuki_protocol::codec::EncodeError::NotInVersion {
                    field: #place,
                    version: form.version,
                });
            }
        }
    }
}

pub(crate) fn message(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields(input)?;
    let attributes = StructAttributes::parse(&input.attrs, input.ident.span())?;
    let default = default(input, &fields);
    let field = field(input, &fields);
    let message = attributes.versions.map(|versions| {
        let (name, text) = (&input.ident, input.ident.to_string());
        let Range { min, max } = versions;
        let flexible = attributes.flexible.map_or(i16::MAX, |range| range.min);
        quote! {
            impl ::kabuki_protocol::codec::Message for #name {
                const NAME: &'static str = #text;
                const VERSIONS: ::core::ops::RangeInclusive<i16> = #min..=#max;
                const FLEXIBLE_SINCE: i16 = #flexible;
            }
        }
    });
    let name = &input.ident;
    let structure = quote!(impl ::kabuki_protocol::codec::Structure for #name {});
    Ok(quote!(#default #field #structure #message))
}

fn fields(input: &DeriveInput) -> Result<Vec<Field<'_>>> {
    let refuse = || Error::new_spanned(input, "a message is a struct with named fields");
    let Data::Struct(data) = &input.data else {
        return Err(refuse());
    };
    let Fields::Named(named) = &data.fields else {
        return Err(refuse());
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a message has no type parameters",
        ));
    }
    let mut fields = Vec::with_capacity(named.named.len());
    for field in &named.named {
        let Some(name) = &field.ident else {
            return Err(refuse());
        };
        let attributes = FieldAttributes::parse(&field.attrs)?;
        if attributes.nullable.is_some() && !is_option(&field.ty) {
            return Err(Error::new_spanned(
                &field.ty,
                "only an `Option` can be nullable",
            ));
        }
        let place = format!("{}.{}", input.ident, name);
        fields.push(Field {
            name,
            ty: &field.ty,
            attributes,
            place,
        });
    }
    Ok(fields)
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == "Option"))
}

fn default(input: &DeriveInput, fields: &[Field<'_>]) -> TokenStream {
    let name = &input.ident;
    let values = fields.iter().map(|field| {
        let (name, value) = (field.name, field.default());
        quote!(#name: #value)
    });
    quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#values),* }
            }
        }
    }
}

fn field(input: &DeriveInput, fields: &[Field<'_>]) -> TokenStream {
    let name = &input.ident;
    let (tagged, plain): (Vec<_>, Vec<_>) = fields
        .iter()
        .partition(|field| field.attributes.tag.is_some());
    let bytes_min = bytes_min(&plain);
    let read = read(fields, &plain, &tagged);
    let write = write(&plain, &tagged);
    quote! {
        impl ::kabuki_protocol::codec::Field for #name {
            fn bytes_min(form: ::kabuki_protocol::codec::Form) -> usize {
                #bytes_min
            }

            fn read(
                decoder: &mut ::kabuki_protocol::codec::Decoder,
                form: ::kabuki_protocol::codec::Form,
            ) -> ::core::result::Result<Self, ::kabuki_protocol::codec::DecodeError> {
                #read
            }

            fn write(
                &self,
                encoder: &mut ::kabuki_protocol::codec::Encoder,
                form: ::kabuki_protocol::codec::Form,
            ) -> ::core::result::Result<(), ::kabuki_protocol::codec::EncodeError> {
                #write
            }
        }
    }
}

fn bytes_min(plain: &[&Field<'_>]) -> TokenStream {
    let terms = plain.iter().map(|field| {
        let ty = field.ty;
        let bytes = quote!(<#ty as ::kabuki_protocol::codec::Field>::bytes_min(form));
        match field.presence() {
            None => quote!(bytes += #bytes;),
            Some(present) => quote!(if #present { bytes += #bytes; }),
        }
    });
    quote! {
        // A flexible struct ends with the count of its tagged fields.
        let mut bytes = usize::from(form.is_flexible);
        #(#terms)*
        bytes
    }
}

fn read(all: &[Field<'_>], plain: &[&Field<'_>], tagged: &[&Field<'_>]) -> TokenStream {
    let plain_reads = plain.iter().map(|field| {
        let (name, ty, value) = (field.name, field.ty, field.read());
        match field.presence() {
            None => quote!(let #name: #ty = #value;),
            Some(present) => {
                let default = field.default();
                quote!(let #name: #ty = if #present { #value } else { #default };)
            }
        }
    });
    let tagged_defaults = tagged.iter().map(|field| {
        let (name, ty, default) = (field.name, field.ty, field.default());
        quote!(let mut #name: #ty = #default;)
    });
    let arms = tagged.iter().map(|field| {
        let (name, value, tag) = (field.name, field.read(), field.attributes.tag);
        let guard = field.presence().map(|present| quote!(if #present));
        quote!(#tag #guard => { #name = #value; })
    });
    let names = all.iter().map(|field| field.name);
    quote! {
        #(#plain_reads)*
        #(#tagged_defaults)*
        if form.is_flexible {
            // Tags that this version does not know are skipped, as KIP-482 demands.
            decoder.read_tagged_fields(|tag, decoder| {
                let _ = &decoder;
                match tag {
                    #(#arms)*
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(Self { #(#names),* })
    }
}

fn write(plain: &[&Field<'_>], tagged: &[&Field<'_>]) -> TokenStream {
    let plain_writes = plain.iter().map(|field| {
        let write = field.write();
        match field.presence() {
            None => write,
            Some(present) => {
                let absent = field.write_absent();
                quote!(if #present { #write } else { #absent })
            }
        }
    });
    // A tagged field lives only in flexible versions, whatever range it states.
    let presence = |field: &Field<'_>| match field.presence() {
        None => quote!(form.is_flexible),
        Some(present) => quote!((form.is_flexible && #present)),
    };
    let mut sorted: Vec<_> = tagged.to_vec();
    sorted.sort_by_key(|field| field.attributes.tag);
    let checks = sorted.iter().map(|field| {
        let (present, is_set, absent) = (presence(field), field.is_set(), field.write_absent());
        quote! {
            if #present {
                tagged_count += u32::from(#is_set);
            } else {
                #absent
            }
        }
    });
    let tagged_writes = sorted.iter().map(|field| {
        let (tag, present, is_set, write) = (
            field.attributes.tag,
            presence(field),
            field.is_set(),
            field.write(),
        );
        quote! {
            if #present && #is_set {
                encoder.put_tagged_field(#tag, |encoder| {
                    #write
                    Ok(())
                })?;
            }
        }
    });
    let tagged_section = if tagged.is_empty() {
        quote!(if form.is_flexible {
            encoder.put_uvarint(0);
        })
    } else {
        quote! {
            let mut tagged_count = 0_u32;
            #(#checks)*
            if form.is_flexible {
                encoder.put_uvarint(tagged_count);
                #(#tagged_writes)*
            }
        }
    };
    quote! {
        #(#plain_writes)*
        #tagged_section
        Ok(())
    }
}
